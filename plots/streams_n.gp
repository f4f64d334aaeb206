# Composite gain against the number of streams: HC left on a logarithmic axis, mHC right. Data: streams_n.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('streams_n.gp')]
load DATA . '/streams_n.gp'
CSV = DATA . '/streams_n.csv'
HC = sum [k = 1:LINES] BLOCK[k] < 3
MHC = LINES - HC
KEY = 0.35 * (HC > MHC ? HC : MHC) + 0.2
HEIGHT = KEY + 4.9 + 1.1
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
    left = (family == 2 && HC ? 8.5 : 0) + 1.65
    eval panel(left, KEY, left + 6.45, KEY + 4.9)
    unset key
    do for [k = first:last] { eval legend_at(k, first, 1, left - 0.2, 1) }
    NAME = family == 1 ? 'forward' : 'backward'
    eval y_label(NAME . ' gain, largest over l')
    if (family == 1) { set logscale y; set format y '10^{%L}'; set yrange [*:*] } \
    else { unset logscale y; set format y '%g'; set yrange [0:2.5<*] }
    plot 1 with lines lc rgb PALE lw 1 notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(column(NAME . '_q10')):(column(NAME . '_q90')) \
            with filledcurves lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = first:last] CSV using (alone(k, 'streams')):(column(NAME . '_median')):(column(NAME . '_q10')): \
            (column(NAME . '_q90')) with yerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 0.75 pt -1 notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(column(NAME . '_median')) \
            with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw 1.5 pt point(BLOCK[k], RANK[k]) notitle, \
        for [k = first:last] CSV using (of_line(k, 'streams')):(overflow(k, NAME)) axes x1y2 \
            with points lc rgb colour(BLOCK[k], RANK[k]) pt 8 ps 0.8 notitle
    unset label
    unset arrow
}
unset multiplot
