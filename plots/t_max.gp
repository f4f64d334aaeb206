# What Sinkhorn iterations do: backward gain of the composite, and what is left of the columns' error. Data: t_max.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('t_max.gp')]
load DATA . '/t_max.gp'
CSV = DATA . '/t_max.csv'
KEY = 0.35 * LINES + 0.2
ROWS = 3.4
HEIGHT = KEY + (1 + HAS_column_error) * (ROWS + 0.3) + 0.85
load HERE . 'house.gp'

FLOOR = 1e-17 # half of the smallest error a float64 sum near 1 can have: where 0 is drawn
floored(name) = column(name) < FLOOR ? FLOOR : column(name)
floored_alone(k, end) = alone(k, NAME . end) < FLOOR ? FLOOR : alone(k, NAME . end)
# Roundings that coincide: the dashes of one leave room for the others.
set dashtype 11 (8, 8)
set dashtype 12 (3, 13)
dash(rank) = rank % 3 ? 10 + rank % 3 : 1
set multiplot
stats CSV using 't-max' nooutput name 'I'
# A logarithmic axis from a factor of 4 on: below it there may be no tick.
if (I_max >= 4 * I_min) { set logscale x; \
    set xtics (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000, 1000000) }
unset mytics
set xrange [*:*] noextend
set offsets graph 0.02, graph 0.02, 0, 0
do for [p = 1:1 + HAS_column_error] {
    NAME = p == 1 ? 'backward' : 'column_error'
    top = KEY + (p > 1) * (ROWS + 0.3)
    eval panel(1.65, top, RIGHT, top + ROWS)
    eval y_label((p == 1 ? 'backward gain, largest over l' : 'max |column sum − 1|'))
    unset key
    if (p == 1) { do for [k = 1:LINES] { eval legend_at(k, 1, 1, 1.45, dash(RANK[k])) } }
    if (p == 1 && HAS_column_error) { set format x ''; unset xlabel } \
    else { set format x '%g'; set xlabel 'Sinkhorn iterations t_{max}' offset 0, 0.6 textcolor rgb INK }
    if (p == 2) { set logscale y; set format y '10^{%L}' } else { set yrange [0:2.5<*] }
    if (p == 2) { set yrange [*:*] }
    if (p == 1 && PAPER) {
        # Under the lines of few iterations, or over those of many.
        set label 1 sprintf('paper: about %g at 20%s', PAPER_MHC_GAIN, SEEDS < 2 ? '; ours: one seed' : '') \
            at graph (I_min < 10 ? 0.02 : 0.98), first PAPER_MHC_GAIN offset 0, (I_min < 10 ? -0.55 : 0.5) \
            textcolor rgb '#606060' front
        if (I_min < 10) { set label 1 left } else { set label 1 right }
    }
    plot (p == 1 ? 1 : NaN) with lines lc rgb PALE lw 1 notitle, \
        (p == 1 && PAPER ? PAPER_MHC_GAIN : NaN) with lines lc rgb '#606060' lw 1 dt (6, 4) notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 't-max')):(floored(NAME . '_q10')):(floored(NAME . '_q90')) \
            with filledcurves fs transparent solid (LINES > 2 ? 0.1 : 0.2) noborder \
            lc rgb colour(BLOCK[k], RANK[k]) notitle, \
        for [k = 1:LINES] CSV using (alone(k, 't-max')):(floored_alone(k, '_median')): \
            (floored_alone(k, '_q10')):(floored_alone(k, '_q90')) \
            with yerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 0.75 pt -1 notitle, \
        for [k = 1:LINES] CSV using (of_line(k, 't-max')):(floored(NAME . '_median')) \
            with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw 1.5 dt dash(RANK[k]) \
            pt point(BLOCK[k], RANK[k]) notitle
    unset label
    unset arrow
}
unset multiplot
