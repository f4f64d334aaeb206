# What operations reach, under what a copy and a GEMM of the same run attain. Data: roofline.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('roofline.gp')]
load DATA . '/roofline.gp'
CSV = DATA . '/roofline.csv'
KEY = 0.35 * 4 + 0.2
HEIGHT = KEY + 6.2 + 0.95
load HERE . 'house.gp'

# Kinds are 0 to 4 as blocks are, 5 branches, 6 what is left.
kind_colour(k) = k < 5 ? colour(k, 0) : k == 5 ? '#8d5fb0' : '#404040'
filled(k) = word('7 5 13 9 11 15 2', k + 1) + 0
hollow(k) = word('6 4 12 8 10 14 1', k + 1) + 0
of(k, back, name) = column('kind') == k && column('backward') == back && column('flops') > 0 ? column(name) : NaN
intensity(k, back) = of(k, back, 'flops') / column('bytes')
set logscale xy
set format x '10^{%L}'
set format y '10^{%L}'
eval panel(1.65, KEY, 8.25, KEY + 6.2)
eval y_label('GFLOP/s', 0.8)
set xlabel 'operations a byte' offset 0, 0.6 textcolor rgb INK
set key at screen X(1.4), Y(0.1) top left horizontal maxcols 2 width 2
stats CSV using (column('flops') > 0 ? column('flops') / column('bytes') : NaN) nooutput name 'I'
stats CSV using (column('flops') > 0 ? column('flop_rate') * 1e-9 : NaN) nooutput name 'R'
FROM = I_min / 2; TO = I_max * 2
LOW = R_min / 2; HIGH = 3 * (GEMM == GEMM && GEMM * 1e-9 > R_max ? GEMM * 1e-9 : R_max)
set xrange [FROM:TO] noextend
set yrange [LOW:HIGH] noextend
set samples 400
ROOF(x) = GEMM == GEMM ? (COPY * x < GEMM ? COPY * x : GEMM) : COPY * x
END = GEMM == GEMM && GEMM / COPY < TO ? GEMM / COPY : TO # of the slanted part
SHOWN = COPY * FROM * 1e-9 > LOW ? FROM : LOW * 1e9 / COPY # its beginning
set label 1 'copy' at sqrt(SHOWN * END), (COPY * sqrt(SHOWN * END) * 1e-9) right offset -0.8, 0.4 textcolor rgb INK
if (GEMM == GEMM) { set label 2 'GEMM' at TO, (GEMM * 1e-9) right offset -0.5, 0.5 textcolor rgb INK }
plot ROOF(x) * 1e-9 with lines lc rgb INK lw 1.5 notitle, \
    for [k = 0:KINDS - 1] CSV using (intensity(k, 0)):(of(k, 0, 'flop_rate') * 1e-9) with points lc rgb kind_colour(k) \
        pt filled(k) ps 0.7 title (HAS[k + 1] ? KIND[k + 1] : ''), \
    for [k = 0:KINDS - 1] CSV using (intensity(k, 1)):(of(k, 1, 'flop_rate') * 1e-9) with points lc rgb kind_colour(k) \
        pt hollow(k) ps 0.7 notitle
