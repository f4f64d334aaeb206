# What operations reach, under what a copy and a GEMM of the same run attain. Data: roofline.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('roofline.gp')]
load DATA . '/roofline.gp'
CSV = DATA . '/roofline.csv'
SHOWN = HAS[7]
do for [k = 1:KINDS] { SHOWN = SHOWN + HAS[k] }
SLOTS = (SHOWN + 1) / 2 # of the legend, in two columns; below them what points and line are
KEY = 0.35 * (SLOTS + 2) + 0.6
HEIGHT = KEY + 6.2 + 0.95
load HERE . 'house.gp'

# Kinds are 0 to 4 as blocks are, 5 F, 6 what is left, whose points have no inside: a cross and a plus.
kind_colour(k) = k < 5 ? colour(k, 0) : k == 5 ? BRANCH : '#202020'
filled(k) = k < 5 ? point(k, 0) : k == 5 ? 11 : 2
hollow(k) = filled(k) - 1
of(k, back, name) = column('kind') == k && column('backward') == back && column('flops') > 0 ? column(name) : NaN
intensity(k, back) = of(k, back, 'flops') / column('bytes')
set logscale xy
set format x '10^{%L}'
set format y '10^{%L}'
eval panel(1.65, KEY, RIGHT, KEY + 6.2)
eval y_label('GFLOP/s')
set xlabel 'FLOP per byte' offset 0, 0.6 textcolor rgb INK
unset key
SLOT = 0
entry(text, pt, k) = legend_point(SLOT, text, 1.45 + 3.6 * (SLOT / SLOTS), 0.25 + 0.35 * (SLOT % SLOTS), pt, \
    kind_colour(k))
do for [k = 0:KINDS - 1] {
    if (HAS[k + 1]) { eval entry(KIND[k + 1] . (k == 6 ? ', forward' : ''), filled(k), k); SLOT = SLOT + 1 }
}
if (HAS[7]) { eval entry('other, backward', hollow(6), 6) }
set label 4 'filled: forward, open: backward' at screen X(1.65), Y(0.25 + 0.35 * SLOTS) left textcolor rgb INK
RATE(x, unit) = x < 999.5e9 ? sprintf('%.3g G%s', x * 1e-9, unit) : sprintf('%.3g T%s', x * 1e-12, unit)
set label 5 sprintf('line: copy %s', RATE(COPY, 'B/s')) . (GEMM == GEMM ? ', GEMM ' . RATE(GEMM, 'FLOP/s') : '') \
    at screen X(1.65), Y(0.6 + 0.35 * SLOTS) left textcolor rgb INK
stats CSV using (column('flops') > 0 ? column('flops') / column('bytes') : NaN) nooutput name 'I'
stats CSV using (column('flops') > 0 ? column('flop_rate') * 1e-9 : NaN) nooutput name 'R'
# Whole decades: two ticks at least. The copy is in sight.
FROM = 10.0 ** floor(log10(I_min / 1.3)); TO = 10.0 ** ceil(log10(I_max * 1.3))
LOW = 10.0 ** floor(log10(R_min / 1.3))
TOP = GEMM == GEMM && GEMM * 1e-9 > R_max ? GEMM * 1e-9 : R_max
HIGH = 10.0 ** ceil(log10(1.5 * (TOP > 2 * COPY * FROM * 1e-9 ? TOP : 2 * COPY * FROM * 1e-9)))
set xrange [FROM:TO] noextend
set yrange [LOW:HIGH] noextend
set samples 400
ROOF(x) = GEMM == GEMM ? (COPY * x < GEMM ? COPY * x : GEMM) : COPY * x
# The slanted part in sight, from BEGIN to END.
END = GEMM == GEMM && GEMM < HIGH * 1e9 ? 1.0 * GEMM / COPY : HIGH * 1e9 / COPY
END = END < TO ? END : TO
BEGIN = COPY * FROM * 1e-9 > LOW ? FROM : LOW * 1e9 / COPY
set label 3 SHAPE at graph 0, 1 left offset 0, 0.6 textcolor rgb INK
set label 1 'copy' at sqrt(BEGIN * END), (COPY * sqrt(BEGIN * END) * 1e-9) right offset -0.8, 0.4 textcolor rgb INK
if (GEMM == GEMM) { set label 2 'GEMM' at TO, (GEMM * 1e-9) right offset -0.5, 0.5 textcolor rgb INK }
plot ROOF(x) * 1e-9 with lines lc rgb INK lw 1.5 notitle, \
    for [k = 0:KINDS - 1] CSV using (intensity(k, 0)):(of(k, 0, 'flop_rate') * 1e-9) with points lc rgb kind_colour(k) \
        pt filled(k) ps 0.7 notitle, \
    for [k = 0:KINDS - 1] CSV using (intensity(k, 1)):(of(k, 1, 'flop_rate') * 1e-9) with points lc rgb kind_colour(k) \
        pt hollow(k) ps 0.7 notitle, \
    CSV using (column('above') == 1 ? column('flops') / column('bytes') : NaN):(column('flop_rate') * 1e-9) \
        with points lc rgb INK pt 6 ps 1.3 lw 0.7 notitle
