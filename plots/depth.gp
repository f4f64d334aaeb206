# Gain, streams and gradient against depth, all logarithmic. Data: depth.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('depth.gp')]
load DATA . '/depth.gp'
CSV = DATA . '/depth.csv'
STREAMS = HAS_x_rms || HAS_grad_rms || HAS_grad_rms_max
KEY = 0.35 * ((LINES + 2) / 3) + 0.2
ROWS = 3.4
HEIGHT = KEY + (1 + STREAMS) * (ROWS + 0.3) + 0.85
load HERE . 'house.gp'

array NAMES[4] = ['forward', 'backward', 'x_rms', HAS_grad_rms ? 'grad_rms' : 'grad_rms_max']
array TEXT[4] = ['forward composite gain', 'backward composite gain', 'RMS of x_L', \
    HAS_grad_rms ? 'RMS of gradient at x_1' : 'largest RMS of gradient']
# Lines that coincide lie on one another as bands.
width(block) = word('4.2 1.5 1.5 2.6 1.2', block + 1) + 0
set multiplot
set logscale x 2
set xrange [*:*] noextend
set logscale y
unset mytics
set format y '10^{%L}'
do for [p = 1:2 + 2 * STREAMS] {
    left = (p % 2 ? 0 : 8.5) + 1.65
    top = KEY + (p > 2) * (ROWS + 0.3)
    eval panel(left, top, left + 6.6, top + ROWS)
    eval y_label(TEXT[p], 0.8)
    if (p == 1) { set key at screen X(1.4), Y(0.1) top left horizontal maxcols 3 width 4 } else { unset key }
    if (p < 3 && STREAMS) { set format x ''; unset xlabel } \
    else { set format x '%g'; set xlabel 'depth L (layers)' offset 0, 0.6 textcolor rgb INK }
    plot (p < 3 ? 1 : NaN) with lines lc rgb PALE lw 1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(column(NAMES[p] . '_q10')):(column(NAMES[p] . '_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(column(NAMES[p] . '_median')) \
            with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw width(BLOCK[k]) \
            pt point(BLOCK[k], RANK[k]) title LABEL[k], \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(overflow(k, NAMES[p])) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
}
unset multiplot
