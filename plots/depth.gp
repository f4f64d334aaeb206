# Gain, streams and gradient against depth, all logarithmic. Data: depth.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('depth.gp')]
load DATA . '/depth.gp'
CSV = DATA . '/depth.csv'
STREAMS = HAS_x_rms || HAS_grad_rms || HAS_grad_rms_max
ROWS = 3.4
FIT = int((WIDE ? 15.4 : 7.0) / (1.2 + 0.14 * LONGEST)) # entries of the legend in a row
KEY_ROWS = (LINES + (FIT > 1 ? FIT : 1) - 1) / (FIT > 1 ? FIT : 1)
COLS = (LINES + KEY_ROWS - 1) / KEY_ROWS
KEY = 0.35 * KEY_ROWS + 0.2
PANELS = 2 + 2 * STREAMS
HEIGHT = KEY + (WIDE ? PANELS / 2 : PANELS) * (ROWS + 0.3) + 0.85
load HERE . 'house.gp'

array NAMES[4] = ['forward', 'backward', 'x_rms', HAS_grad_rms ? 'grad_rms' : 'grad_rms_max']
array TEXT[4] = ['forward gain, largest over l', 'backward gain, largest over l', 'RMS of x_L', \
    HAS_grad_rms ? 'RMS of gradient at x_1' : 'largest RMS of gradient']
set multiplot
stats CSV using 'depth' nooutput name 'D'
# A logarithmic axis from a factor of 4 on: below it there may be no tick.
if (D_max >= 4 * D_min) { set logscale x 2 }
set xrange [*:*] noextend
set logscale y
unset mytics
set format y '10^{%L}'
do for [p = 1:PANELS] {
    left = (p % 2 || !WIDE ? 0 : 8.5) + 1.65
    top = KEY + (WIDE ? p > 2 : p - 1) * (ROWS + 0.3)
    eval panel(left, top, left + 6.45, top + ROWS)
    eval y_label(TEXT[p])
    unset key
    if (p == 1) { do for [k = 1:LINES] { eval legend_at(k, 1, COLS, 1.45, dash(k)) } }
    set yrange [*:*]
    set offsets graph 0.02, graph 0.02, 0, graph 0.05
    if (p <= PANELS - (WIDE ? 2 : 1)) { set format x ''; unset xlabel } \
    else { set format x '%g'; set xlabel 'depth L (layers)' offset 0, 0.6 textcolor rgb INK }
    plot (p < 3 ? 1 : NaN) with lines lc rgb PALE lw 1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(column(NAMES[p] . '_q10')):(column(NAMES[p] . '_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (alone(k, 'depth')):(alone(k, NAMES[p] . '_median')): \
            (alone(k, NAMES[p] . '_q10')):(alone(k, NAMES[p] . '_q90')) \
            with yerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 0.75 pt -1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(column(NAMES[p] . '_median')) \
            with lines lc rgb colour(BLOCK[k], RANK[k]) lw 1.5 dt dash(k) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(column(NAMES[p] . '_median')) \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt point(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'depth')):(overflow(k, NAMES[p])) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
    unset arrow
}
unset multiplot
