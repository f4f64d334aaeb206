# Gains against layer: forward above, backward below; HC left on a logarithmic axis, mHC right on a linear one.
# Loaded by single_gain.gp and composite_gain.gp, which set CSV, FORWARD, BACKWARD, PAPER and LINEAR, the linear range.
HC = sum [k = 1:LINES] BLOCK[k] < 3
MHC = LINES - HC
ROWS = 3.4
KEY = 0.35 * (HC > MHC ? HC : MHC) + 0.2
HEIGHT = KEY + 2 * ROWS + 1.35
load HERE . 'house.gp'

# Where HC spans less than two decades powers of ten alone are too few ticks.
FEW = '(0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)'
THICK = LAYERS > 150 ? 0.8 : 1.5

set multiplot
set xrange [0:LAYERS]
STEP = ceil(LAYERS / 7.0)
do for [family = 1:2] {
    first = family == 1 ? 1 : HC + 1
    last = family == 1 ? HC : LINES
    if (first > last) { continue }
    left = (family == 2 && HC ? 8.5 : 0) + 1.65
    if (family == 1) { set logscale y; set yrange [*:*] noextend } \
    else { unset logscale y; set format y '%g'; set ytics auto; eval 'set yrange ' . LINEAR }
    do for [row = 1:2] {
        top = KEY + (row - 1) * (ROWS + 0.3)
        eval panel(left, top, left + 6.45, top + ROWS)
        NAME = row == 1 ? 'forward' : 'backward'
        if (family == 1) {
            if ((row == 1 ? SPAN_forward_sum : SPAN_backward_sum) < 30) { set format y '%g'; eval 'set ytics ' . FEW } \
            else { set format y '10^{%L}'; set ytics auto }
        }
        eval y_label((row == 1 ? FORWARD : BACKWARD), (family == 1 ? 0.8 : 1.2))
        unset key
        if (row == 1) { set format x ''; unset xlabel; do for [k = first:last] { eval legend_at(k, first, 1, left - 0.2, 1) } } \
        else { set format x '%g'; set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK }
        REFERENCE = !PAPER ? NaN : family == 1 ? 3000 : row == 2 ? 1.6 : NaN
        if (REFERENCE == REFERENCE) {
            set label 1 sprintf('paper: about %g', REFERENCE) at graph (row == 1 ? 0.02 : 0.98), first REFERENCE \
                offset 0, 0.5 textcolor rgb '#606060' front
            if (row == 1) { set label 1 left } else { set label 1 right }
        }
        plot 1 with lines lc rgb PALE lw 1 notitle, \
            REFERENCE with lines lc rgb '#606060' lw 1 dt (6, 4) notitle, \
            for [k = first:last] DATA . CSV using (of_line(k, 'layer')):(column(NAME . '_sum_q10')): \
                (column(NAME . '_sum_q90')) with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
            for [k = first:last] DATA . CSV using (of_line(k, 'layer')):(column(NAME . '_abs_median')) \
                with lines lc rgb colour(BLOCK[k], RANK[k]) lw 0.8 dt (6, 3) notitle, \
            for [k = first:last] DATA . CSV using (of_line(k, 'layer')):(column(NAME . '_sum_median')) \
                with lines lc rgb colour(BLOCK[k], RANK[k]) lw THICK notitle, \
            for [k = first:last] DATA . CSV using (column('layer')):(marked(k, NAME . '_sum_median')) \
                with points lc rgb colour(BLOCK[k], RANK[k]) pt point(BLOCK[k], RANK[k]) notitle, \
            for [k = first:last] DATA . CSV using (of_line(k, 'layer')):(overflow_layer(k, NAME . '_sum')) axes x1y2 \
                with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
        unset label
        unset arrow
    }
}
unset multiplot
