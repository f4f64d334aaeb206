# Singular values of composites against layer, as log10: HC left, mHC and a skip right. Data: composite_spectrum.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('composite_spectrum.gp')]
load DATA . '/composite_spectrum.gp'
CSV = DATA . '/composite_spectrum.csv'
HC = sum [k = 1:LINES] BLOCK[k] < 3
MHC = LINES - HC
ROWS = 4.6
KINDS = 0.35 # cm that the kinds of lines take in the legend
BESIDE = WIDE && HC && MHC
LEGEND = BESIDE && MHC > HC ? MHC : HC ? HC : MHC # rows, of the first family or of both
KEY = KINDS + 0.35 * LEGEND + 0.2
BELOW = KEY + ROWS + 1.05 # where a second family begins that stands below
HEIGHT = BELOW + (HC && MHC && !BESIDE ? 0.35 * MHC + 0.2 + ROWS + 1.05 : 0)
load HERE . 'house.gp'

of_value(k, i, name) = column('value') == i ? of_line(k, name) : NaN
marked_value(k, i, name) = column('value') == i ? marked(k, name) : NaN
THICK = LAYERS > 150 ? 0.8 : 1.2
set multiplot
unset key
unset mytics
set xrange [0:LAYERS > 1 ? LAYERS : 2]
if (LAYERS < 10) { set xtics 1 }
set yrange [*<-1:1<*]
set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK
STEP = ceil(LAYERS / 7.0)
do for [family = 1:2] {
    first = family == 1 ? 1 : HC + 1
    last = family == 1 ? HC : LINES
    if (first > last) { continue }
    left = (family == 2 && BESIDE ? 8.5 : 0) + 1.65
    lower = family == 2 && HC && !BESIDE
    LEGEND_TOP = lower ? BELOW + 0.25 : 0.25 + KINDS
    top = lower ? BELOW + 0.35 * MHC + 0.2 : KEY
    eval panel(left, top, BESIDE && family == 1 ? 8.1 : RIGHT, top + ROWS)
    eval y_label('log_{10} of singular values of H_l…H_1')
    if (first == 1) { eval legend_box(33, 'q10–q90 over seeds', left - 0.2, 0.25, INK, 0.2) }
    do for [k = first:last] { eval legend_at(k, first, 1, left - 0.2, 1) }
    plot 0 with lines lc rgb PALE lw 1, \
        for [k = first:last] for [i = 1:STREAMS] CSV using (of_value(k, i, 'layer')): \
            (column('log10_q10')):(column('log10_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]), \
        for [k = first:last] for [i = 1:STREAMS] CSV using (of_value(k, i, 'layer')):(column('log10_median')) \
            with lines lc rgb colour(BLOCK[k], RANK[k]) lw THICK, \
        for [k = first:last] for [i = 1:STREAMS] CSV using (column('layer')):(marked_value(k, i, 'log10_median')) \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt point(BLOCK[k], RANK[k]), \
        for [k = first:last] CSV using (of_line(k, 'layer')):(overflow_layer(k, 'log10')) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8
    unset label
    unset arrow
    unset object
}
unset multiplot
