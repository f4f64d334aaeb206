# Bandwidth of each operation as a share of a copy's, from top to bottom in the order of the record. Data:
# bandwidth.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('bandwidth.gp')]
load DATA . '/bandwidth.gp'
CSV = DATA . '/bandwidth.csv'
STEP = 0.3
TOP = 0.55
LEFT = 0.35 + 0.14 * LONGEST # of the names; half of the figure is for bars
LEFT = LEFT < 1.6 ? 1.6 : LEFT > (WIDE ? 7.0 : 4.5) ? (WIDE ? 7.0 : 4.5) : LEFT
HEIGHT = TOP + STEP * ROWS + 1.1 + 0.33 * HAS_GEMM
load HERE . 'house.gp'

kind_colour(k) = k < 5 ? colour(k, 0) : k == 5 ? BRANCH : '#606060'
of(k, name) = column('kind') == k ? column(name) : NaN
share(k) = 100 * of(k, 'copy_share')
known(k) = MODEL || column('low') <= column('high') ? share(k) : NaN
unknown(k) = MODEL || column('low') <= column('high') ? NaN : share(k)
# The upper end of the interval of the time is the lower one of the share.
end(name) = 100 * column('copy_share') * (column('low') <= column('high') ? column('median') / column(name) : 1)
stats CSV using (column('gemm_share') * 100 > end('low') ? column('gemm_share') * 100 : end('low')) nooutput name 'S'
TO = S_max > 107 ? 1.03 * S_max : 110
# A tick each 1, 2 or 5 times a power of ten, and at least 0.9 cm.
LEAST = TO * 0.9 / (RIGHT - LEFT)
POWER = 10.0 ** floor(log10(LEAST))
TICK = LEAST <= POWER ? POWER : LEAST <= 2 * POWER ? 2 * POWER : LEAST <= 5 * POWER ? 5 * POWER : 10 * POWER
eval panel(LEFT, TOP, RIGHT, TOP + STEP * ROWS)
set label 3 SHAPE at graph 0, 1 left offset 0, 0.6 textcolor rgb INK
set yrange [ROWS - 0.5:-0.5]
set xrange [0:TO] noextend
set xtics TICK
set xlabel "share of a copy's bandwidth (%)" . (HAS_GEMM ? "\ncircles: of a GEMM's FLOP rate (%)" : '') \
    offset 0, 0.6 textcolor rgb INK
unset key
set grid noy
set ytics noenhanced
set style fill solid 0.75 noborder
BAR = 0.36
plot for [k = 0:KINDS - 1] CSV using (0):(column('row')):(0):(known(k)): \
        (column('row') - BAR):(column('row') + BAR):ytic(strcol('operation')) \
        with boxxyerror lc rgb kind_colour(k) notitle, \
    for [k = 0:KINDS - 1] CSV using (0):(column('row')):(0):(unknown(k)):(column('row') - BAR):(column('row') + BAR) \
        with boxxyerror fill empty border rgb kind_colour(k) lc rgb kind_colour(k) notitle, \
    CSV using (100 * column('copy_share')):(column('row')):(end('high')):(end('low')) \
        with xerrorbars lc rgb INK lw 0.75 pt -1 notitle, \
    CSV using (100 * column('gemm_share')):(column('row')) with points lc rgb INK pt 6 ps 0.6 notitle, \
    '+' using (100):(-0.5 + ROWS * (column(0) / 99.0)) every ::0::99 with lines lc rgb PALE lw 1 dt (6, 4) notitle
