# Gain of trained stacks against learning rate, and against depth: points alone, for what lies between them was not
# trained. Data: training_sweep.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('training_sweep.gp')]
load DATA . '/training_sweep.gp'
CSV = DATA . '/training_sweep.csv'
ROWS = 4.6
BESIDE = WIDE && LINES_1 && LINES_2
LEGEND = BESIDE && LINES_2 > LINES_1 ? LINES_2 : LINES_1 ? LINES_1 : LINES_2 # rows
KEY = 0.35 * LEGEND + 0.3
BELOW = KEY + ROWS + 1.05 # where a second panel begins that stands below
HEIGHT = BELOW + (LINES_1 && LINES_2 && !BESIDE ? 0.35 * LINES_2 + 0.3 + ROWS + 1.05 : 0)
load HERE . 'house.gp'

colour_of(p, k) = colour(value(sprintf('BLOCK_%d_%d', p, k)), value(sprintf('RANK_%d_%d', p, k)))
point_of(p, k) = point(value(sprintf('BLOCK_%d_%d', p, k)), value(sprintf('RANK_%d_%d', p, k)))
text_of(p, k) = value(sprintf('LABEL_%d_%d', p, k))
of(p, k, name) = column('panel') == p && column('line') == k ? column(name) : NaN
set multiplot
unset key
unset mytics
set logscale xy
do for [p = 1:2] {
    lines = p == 1 ? LINES_1 : LINES_2
    if (lines) {
        left = (p == 2 && BESIDE ? 8.5 : 0) + 1.65
        above = p == 2 && LINES_1 && !BESIDE ? BELOW : 0
        top = above > 0 ? BELOW + 0.35 * LINES_2 + 0.3 : KEY
        eval panel(left, top, BESIDE && p == 1 ? 8.1 : RIGHT, top + ROWS)
        eval y_label('gain of composites, largest over l')
        FROM = value(sprintf('FROM_%d', p)); TO = value(sprintf('TO_%d', p))
        stats CSV using (column('panel') == p ? column('most') : NaN) nooutput name 'M'
        stats CSV using (column('panel') == p ? column('least') : NaN) nooutput name 'N'
        # One whisker per line: side by side, or they hide one another.
        APART = 0.012 * log(1.0 * TO / FROM)
        at(k) = of(p, k, 'at') * exp(APART * (k - (lines + 1) / 2.0))
        set xlabel (p == 1 ? 'learning rate' : 'depth L (layers)') offset 0, 0.6 textcolor rgb INK
        set xrange [FROM * exp(-0.08 * log(1.0 * TO / FROM)):TO * exp(0.08 * log(1.0 * TO / FROM))] noextend
        eval 'set xtics (' . value(sprintf('XTICS_%d', p)) . ')'
        set yrange [0.85 * (N_min < 1 ? N_min : 1):1.2 * (M_max > 1 ? M_max : 1)] noextend
        if (M_max < 100 * N_min) { set format y '%g'; \
            set ytics (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100) } \
        else { set format y '10^{%L}'; set ytics auto }
        do for [k = 1:lines] {
            eval sprintf("set arrow %d from screen %f, %f to screen %f, %f nohead lc rgb '%s' lw 1.5", 200 + k, \
                X(left - 0.2), Y(above + 0.25 + 0.35 * (k - 1)), X(left - 0.2 + SAMPLE), \
                Y(above + 0.25 + 0.35 * (k - 1)), colour_of(p, k))
            eval legend_point(k, text_of(p, k), left - 0.2, above + 0.25 + 0.35 * (k - 1), point_of(p, k), \
                colour_of(p, k))
        }
        plot 1 with lines lc rgb PALE lw 1, \
            for [k = 1:lines] CSV using (at(k)):(column('median')):(column('least')):(column('most')) \
                with yerrorbars lc rgb colour_of(p, k) lw 1 pt -1, \
            for [k = 1:lines] CSV using (at(k)):(column('median')) with points lc rgb colour_of(p, k) pt point_of(p, k)
        unset label
        unset arrow
    }
}
unset multiplot
