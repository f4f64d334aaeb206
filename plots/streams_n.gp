# Composite gain against the number of streams: HC left on a logarithmic axis, mHC right. Data: streams_n.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('streams_n.gp')]
load DATA . '/streams_n.gp'
CSV = DATA . '/streams_n.csv'
HC = sum [k = 1:LINES] BLOCK[k] < 3
MHC = LINES - HC
ROWS = 4.9
BESIDE = WIDE && HC && MHC
LEGEND = BESIDE && MHC > HC ? MHC : HC ? HC : MHC # rows, of the first family or of both
KEY = 0.35 * LEGEND + 0.2
BELOW = KEY + ROWS + 1.1 # where a second family begins that stands below
HEIGHT = BELOW + (HC && MHC && !BESIDE ? 0.35 * MHC + 0.2 + ROWS + 1.1 : 0)
load HERE . 'house.gp'

set multiplot
unset mytics
stats CSV using 'streams' nooutput name 'N'
set xrange [N_min - 0.03 * (N_max - N_min):N_max + 0.03 * (N_max - N_min)]
STEP = N_max - N_min > 8 ? 2 : 1
set xtics STEP
set xlabel 'streams n' offset 0, 0.6 textcolor rgb INK
do for [family = 1:2] {
    first = family == 1 ? 1 : HC + 1
    last = family == 1 ? HC : LINES
    if (first > last) { continue }
    left = (family == 2 && BESIDE ? 8.5 : 0) + 1.65
    lower = family == 2 && HC && !BESIDE
    LEGEND_TOP = (lower ? BELOW : 0) + 0.25
    top = lower ? BELOW + 0.35 * MHC + 0.2 : KEY
    eval panel(left, top, BESIDE && family == 1 ? 8.1 : RIGHT, top + ROWS)
    unset key
    do for [k = first:last] { eval legend_at(k, first, 1, left - 0.2, 1) }
    NAME = family == 1 ? 'forward' : 'backward'
    eval y_label(NAME . ' gain, largest over l')
    if (family == 1) { set logscale y; set format y '10^{%L}'; set yrange [*:*] } \
    else { unset logscale y; set format y '%g'; set yrange [0:2.5<*] }
    plot 1 with lines lc rgb PALE lw 1 notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(column(NAME . '_q10')):(column(NAME . '_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = first:last] CSV using (alone(k, 'streams')):(alone(k, NAME . '_median')):(alone(k, NAME . '_q10')): \
            (alone(k, NAME . '_q90')) with yerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 0.75 pt -1 notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(column(NAME . '_median')) \
            with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw 1.5 pt point(BLOCK[k], RANK[k]) notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(overflow(k, NAME)) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
    unset arrow
}
unset multiplot
