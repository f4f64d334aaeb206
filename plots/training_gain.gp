# Gain of stacks in training against step: what nothing bounds left on a logarithmic axis, forward; what is bounded
# right, backward. Data: training_gain.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('training_gain.gp')]
load DATA . '/training_gain.gp'
CSV = DATA . '/training_gain.csv'
ROWS = 4.6
KINDS = 0.35 # cm that the kinds of lines take in the legend
BESIDE = WIDE && LEFT_LINES && RIGHT_LINES
LEGEND = BESIDE && RIGHT_LINES > LEFT_LINES ? RIGHT_LINES : LEFT_LINES ? LEFT_LINES : RIGHT_LINES # rows
KEY = KINDS + 0.35 * LEGEND + 0.3
BELOW = KEY + ROWS + 1.05 # where a second panel begins that stands below
HEIGHT = BELOW + (LEFT_LINES && RIGHT_LINES && !BESIDE ? 0.35 * RIGHT_LINES + 0.3 + ROWS + 1.05 : 0)
load HERE . 'house.gp'

only(p, k) = PANEL[k] == p ? k : 0
set multiplot
unset key
unset mytics
stats CSV using 'step' nooutput name 'S'
set xrange [0:S_max > 0 ? S_max : 1]
set xlabel 'step' offset 0, 0.6 textcolor rgb INK
do for [p = 1:2] {
    if (p == 1 ? LEFT_LINES : RIGHT_LINES) {
        left = (p == 2 && BESIDE ? 8.5 : 0) + 1.65
        lower = p == 2 && LEFT_LINES && !BESIDE
        top = lower ? BELOW + 0.35 * RIGHT_LINES + 0.3 : KEY
        NAME = p == 1 ? 'forward' : 'backward'
        eval panel(left, top, BESIDE && p == 1 ? 8.1 : RIGHT, top + ROWS)
        eval y_label((p == 1 ? 'forward gain of H_l…H_1, largest over l' : 'backward gain of H_L…H_l, largest over l'))
        REFERENCE = !PAPER ? NaN : p == 1 ? PAPER_HC_GAIN : PAPER_MHC_GAIN
        if (p == 1) {
            TOP = PAPER && PAPER_HC_GAIN > HIGH_LEFT ? PAPER_HC_GAIN : HIGH_LEFT
            # Below a factor of 3 powers of ten and their halves are too few ticks.
            if (TOP >= 3) { set logscale y }
            set yrange [*<0.9:(TOP < 3 ? 1.1 : 1.5) * TOP] noextend
            set format y (TOP < 100 ? '%g' : '10^{%L}')
            if (TOP >= 3 && TOP < 100) { set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) }
        } else { unset logscale y; set format y '%g'; set ytics auto; set yrange [0:HIGH_RIGHT] }
        if (p == 1 || !LEFT_LINES) { eval legend_box(33, 'smallest to largest seed', left - 0.2, 0.25, INK, 0.2) }
        do for [k = 1:LINES] { if (PANEL[k] == p) { \
            eval legend_entry(k, left - 0.2, (lower ? BELOW : KINDS) + 0.25 + 0.35 * SLOT[k], dash(k)) } }
        if (REFERENCE == REFERENCE) {
            # At the left, where the gains still are near 1.
            set label 1 paper_text(REFERENCE) at graph 0.02, first REFERENCE left offset 0, 0.5 \
                textcolor rgb '#606060' front
        }
        # Many bands are mud.
        set style fill transparent solid ((p == 1 ? LEFT_LINES : RIGHT_LINES) > 2 ? 0.1 : 0.2) noborder
        plot 1 with lines lc rgb PALE lw 1, \
            REFERENCE with lines lc rgb '#606060' lw 1 dt (6, 4), \
            for [k = 1:LINES] CSV using (of_line(only(p, k), 'step')): \
                (column(NAME . '_least')):(column(NAME . '_most')) \
                with filledcurves lc rgb colour(BLOCK[k], RANK[k]), \
            for [k = 1:LINES] CSV using (of_line(only(p, k), 'step')):(column(NAME . '_median')) \
                with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw 1.5 dt dash(k) pt point(BLOCK[k], RANK[k])
        unset label
        unset arrow
        unset object
    }
}
unset multiplot
