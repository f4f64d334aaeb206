# What the streams do, layer by layer. Data: streams.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('streams.gp')]
load DATA . '/streams.gp'
CSV = DATA . '/streams.csv'
ROWS = 3.4
FIT = int((WIDE ? 15.4 : 7.0) / (1.2 + 0.14 * LONGEST)) # entries of the legend in a row
KEY_ROWS = (LINES + (FIT > 1 ? FIT : 1) - 1) / (FIT > 1 ? FIT : 1)
COLS = (LINES + KEY_ROWS - 1) / KEY_ROWS
KEY = 0.35 * KEY_ROWS + 0.2
HEIGHT = KEY + (WIDE ? 2 : 4) * (ROWS + 0.3) + 0.75
load HERE . 'house.gp'

array NAMES[4] = ['x_rms', 'grad_rms', 'similarity', 'rank']
array TEXT[4] = ['RMS of x_l', 'RMS of gradient at x_l', 'mean cosine of two streams', 'effective rank, 1 to n']
set multiplot
unset mytics
set xrange [0:LAYERS > 1 ? LAYERS : 2]
if (LAYERS < 10) { set xtics 1 }
STEP = ceil(LAYERS / 7.0)
THICK = LAYERS > 150 ? 0.8 : 1.5
do for [p = 1:4] {
    left = (p % 2 || !WIDE ? 0 : 8.5) + 1.65
    top = KEY + (WIDE ? p > 2 : p - 1) * (ROWS + 0.3)
    eval panel(left, top, left + 6.45, top + ROWS)
    eval y_label(TEXT[p])
    unset key
    if (p == 1) { do for [k = 1:LINES] { eval legend_at(k, 1, COLS, 1.45, dash(k)) } }
    if (p < 3) { set logscale y; set format y '10^{%L}'; set yrange [*:*] }
    if (p <= (WIDE ? 2 : 3)) { set format x ''; unset xlabel } \
    else { set format x '%g'; set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK }
    if (p == 3) { unset logscale y; set format y '%g' }
    if (p == 3) { set yrange [*<-0.2:1.1] }
    if (p == 4) { set yrange [0:1.1 * STREAMS] noextend; if (STREAMS < 7) { set ytics 1 } }
    plot (p < 3 ? NaN : p == 3 ? 0 : 1) with lines lc rgb PALE lw 1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(column(NAMES[p] . '_q10')):(column(NAMES[p] . '_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(column(NAMES[p] . '_median')) \
            with lines lc rgb colour(BLOCK[k], RANK[k]) lw THICK dt dash(k) notitle, \
        for [k = 1:LINES] CSV using (column('layer')):(marked(k, NAMES[p] . '_median')) \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt point(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(overflow_layer(k, NAMES[p])) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
    unset arrow
}
unset multiplot
