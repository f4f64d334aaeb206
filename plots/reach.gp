# Forward and backward reach, effective sources and rank against layer. Data: reach.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('reach.gp')]
load DATA . '/reach.gp'
CSV = DATA . '/reach.csv'
ROWS = 3.9
FIT = int((WIDE ? 15.4 : 7.0) / (1.2 + 0.14 * LONGEST)) # entries of the legend in a row
KEY_ROWS = (LINES + (FIT > 1 ? FIT : 1) - 1) / (FIT > 1 ? FIT : 1)
COLS = (LINES + KEY_ROWS - 1) / KEY_ROWS
KEY = 0.35 * KEY_ROWS + 0.2
HEIGHT = KEY + (WIDE ? 2 : 4) * (ROWS + 0.3) + 0.75
load HERE . 'house.gp'

array NAMES[4] = ['forward', 'backward', 'sources', 'rank']
array TEXT[4] = ['forward reach', 'backward reach of layer l', 'effective sources, share of all', \
    'effective rank, 1 to n']
share(p) = p == 3 ? column('layer') + 1 : 1
set multiplot
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
    if (p < 3) {
        set autoscale xy # statistics are of what the ranges hold
        set logscale y
        stats CSV using NAMES[p] . '_q90' nooutput name 'HIGH'
        stats CSV using NAMES[p] . '_q10' nooutput name 'LOW'
        if (HIGH_max < 100 * LOW_min) {
            eval 'set ytics (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100)'
            set format y '%g'
        } else { set ytics auto; set format y '10^{%L}' }
        low = LOW_min < 1 ? LOW_min : 1.0
        high = HIGH_max > 1 ? HIGH_max : 1.0
        set yrange [low / 1.15:high * 1.15] noextend
    } else { unset logscale y; set ytics auto; set format y '%g'; set yrange [0:1.05] noextend }
    if (p == 4) { set yrange [0:1.1 * STREAMS] noextend; if (STREAMS < 7) { set ytics 1 } }
    if (p <= (WIDE ? 2 : 3)) { set format x ''; unset xlabel } \
    else { set format x '%g'; set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK }
    set xrange [0:LAYERS > 1 ? LAYERS : 2]
    plot (p < 3 ? 1 : NaN) with lines lc rgb PALE lw 1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(column(NAMES[p] . '_q10') / share(p)): \
            (column(NAMES[p] . '_q90') / share(p)) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(column(NAMES[p] . '_median') / share(p)) \
            with lines lc rgb colour(BLOCK[k], RANK[k]) lw THICK dt dash(k) notitle, \
        for [k = 1:LINES] CSV using (column('layer')):(marked(k, NAMES[p] . '_median') / share(p)) \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt point(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 'layer')):(overflow_layer(k, NAMES[p])) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
    unset arrow
}
unset multiplot
