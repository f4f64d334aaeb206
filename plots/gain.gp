# Gains against layer: forward above, backward below; HC left on a logarithmic axis, mHC and a skip right on a linear
# one. Loaded by single_gain.gp and composite_gain.gp, which set CSV, FORWARD, BACKWARD, PAPER and LINEAR, the linear
# range.
HC = sum [k = 1:LINES] BLOCK[k] < 3
MHC = LINES - HC
ROWS = 3.4
KINDS = WIDE ? 0.35 : 0.7 # cm that the kinds of lines take in the legend
BESIDE = WIDE && HC && MHC
LEGEND = BESIDE && MHC > HC ? MHC : HC ? HC : MHC # rows, of the first family or of both
KEY = KINDS + 0.35 * LEGEND + 0.2
BELOW = KEY + 2 * ROWS + 1.35 # where a second family begins that stands below
HEIGHT = BELOW + (HC && MHC && !BESIDE ? 0.35 * MHC + 0.2 + 2 * ROWS + 1.35 : 0)
load HERE . 'house.gp'

# Where HC spans less than two decades powers of ten alone are too few ticks, and below a factor of 3 the axis is
# linear.
FEW = '(0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)'
THICK = LAYERS > 150 ? 0.8 : 1.5

set multiplot
set xrange [0:LAYERS > 1 ? LAYERS : 2]
if (LAYERS < 10) { set xtics 1 }
STEP = ceil(LAYERS / 7.0)
do for [family = 1:2] {
    first = family == 1 ? 1 : HC + 1
    last = family == 1 ? HC : LINES
    if (first > last) { continue }
    left = (family == 2 && BESIDE ? 8.5 : 0) + 1.65
    right = BESIDE && family == 1 ? 8.1 : RIGHT
    lower = family == 2 && HC && !BESIDE
    LEGEND_TOP = lower ? BELOW + 0.25 : 0.25 + KINDS
    set style fill transparent solid (last - first > 1 ? 0.1 : 0.2) noborder # many bands are mud
    if (family == 2) { unset logscale y; set format y '%g'; set ytics auto; eval 'set yrange ' . LINEAR }
    do for [row = 1:2] {
        top = (lower ? BELOW + 0.35 * MHC + 0.2 : KEY) + (row - 1) * (ROWS + 0.3)
        eval panel(left, top, right, top + ROWS)
        NAME = row == 1 ? 'forward' : 'backward'
        if (family == 1) {
            SPAN = row == 1 ? SPAN_forward_sum : SPAN_backward_sum
            if (PAPER && SPAN < PAPER_HC_GAIN) { SPAN = PAPER_HC_GAIN } # its line is there
            set yrange [*:*] noextend
            if (SPAN < 3) { unset logscale y; set yrange [*:*]; set format y '%g'; set ytics auto } \
            else { set logscale y }
            if (SPAN >= 3 && SPAN < 30) { set format y '%g'; eval 'set ytics ' . FEW }
            if (SPAN >= 30) { set format y '10^{%L}'; set ytics auto }
        }
        eval y_label((row == 1 ? FORWARD : BACKWARD))
        unset key
        if (row == 1 && first == (HC ? 1 : HC + 1)) {
            eval legend_line(31, 'max |sum| of rows, backward of columns', left - 0.2, 0.25, INK, THICK, 'solid')
            eval legend_line(32, 'max sum of |entries|', WIDE ? 8.2 : left - 0.2, KINDS - 0.1, INK, 0.8, '(6, 3)')
            eval legend_box(33, 'q10–q90' . (WIDE ? ' over seeds' : ''), WIDE ? 12.6 : left + 3.65, KINDS - 0.1, \
                INK, 0.2)
        }
        if (row == 1) { set format x ''; unset xlabel; \
            do for [k = first:last] { eval legend_at(k, first, 1, left - 0.2, 1) } } \
        else { set format x '%g'; set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK }
        REFERENCE = !PAPER ? NaN : family == 1 ? PAPER_HC_GAIN : row == 2 ? PAPER_MHC_GAIN : NaN
        if (REFERENCE == REFERENCE) {
            SIDE = (row == 1) == (family == 2 || SPAN < 1e8) # where the lines are far from it
            # Below what may be the upper edge.
            set label 1 paper_text(REFERENCE) at graph (SIDE ? 0.02 : 0.98), first REFERENCE \
                offset 0, (family == 1 && SPAN < 1e5 ? -0.6 : 0.5) textcolor rgb '#606060' front
            if (SIDE) { set label 1 left } else { set label 1 right }
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
        unset object
    }
}
unset multiplot
