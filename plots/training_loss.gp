# Loss above and gradient norm below against step, a column a learning rate: the analogue of the paper's Fig. 2.
# Data: training_loss.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('training_loss.gp')]
load DATA . '/training_loss.gp'
CSV = DATA . '/training_loss.csv'
ROWS = 3.6
# Entries of the legend in a row, beside that of the band or below it.
FIT = int((WIDE ? 11.0 : 7.0) / (1.2 + 0.14 * LONGEST))
FIT = FIT > 1 ? FIT : 1
SLOTS = 0
do for [k = 1:LINES] { if (SLOT[k] >= SLOTS) { SLOTS = SLOT[k] + 1 } }
BAND = WIDE ? 0 : 0.35
KEY = BAND + 0.35 * ((SLOTS + FIT - 1) / FIT) + 0.6
TALL = 2 * (ROWS + 0.3) + 0.85
HEIGHT = KEY + TALL * (WIDE ? 1 : PANELS)
load HERE . 'house.gp'

APART = WIDE ? 15.35 / PANELS : 6.85
only(p, k) = PANEL[k] == p ? k : 0
set multiplot
unset key
unset mytics
stats CSV using 'step' nooutput name 'S'
stats CSV using 'loss_least' nooutput name 'L'
stats CSV using 'loss_most' nooutput name 'M'
stats CSV using 'norm_max_least' nooutput name 'N'
stats CSV using 'norm_max_most' nooutput name 'G'
set xrange [0:S_max > 0 ? S_max : 1]
set style fill transparent solid (LINES > 2 * PANELS ? 0.1 : 0.2) noborder # many bands are mud
do for [p = 1:PANELS] {
    left = 1.65 + (WIDE ? APART * (p - 1) : 0)
    below = WIDE ? 0 : TALL * (p - 1)
    do for [row = 1:2] {
        top = KEY + below + (row - 1) * (ROWS + 0.3)
        eval panel(left, top, left + APART - (WIDE && PANELS > 1 ? 0.75 : 0.4), top + ROWS)
        NAME = row == 1 ? 'loss' : 'norm_max'
        if (p == 1 || !WIDE) { eval y_label((row == 1 ? 'training loss (nats per byte)' : 'largest gradient norm')) }
        if (p == 1 && row == 1) {
            eval legend_box(33, 'smallest to largest seed', WIDE ? 12.7 : 1.45, 0.25, INK, 0.2)
            do for [k = 1:LINES] { if (SLOT[k] >= 0) {
                eval legend_entry(k, 1.45 + (SLOT[k] % FIT) * (1.2 + 0.14 * LONGEST), \
                    0.25 + BAND + 0.35 * (SLOT[k] / FIT), dash(k))
            } }
        }
        if (row == 1) {
            set label 1 'rate ' . RATE[p] at graph 0.98, graph 0.93 right textcolor rgb INK
            set format x ''; unset xlabel; unset logscale y; set format y '%g'; set ytics auto
            set yrange [L_min - 0.05 * (M_max - L_min):M_max + 0.05 * (M_max - L_min)] noextend
        } else {
            set format x '%g'; set xlabel 'step' offset 0, 0.6 textcolor rgb INK; set logscale y
            set yrange [0.8 * N_min:1.25 * G_max] noextend
            if (G_max < 20 * N_min) { \
                set ytics (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100, 200, 500, \
                    1000) } \
            else { set format y '10^{%L}' }
        }
        plot for [k = 1:LINES] CSV using (of_line(only(p, k), 'step')): \
                (column(NAME . '_least')):(column(NAME . '_most')) \
                with filledcurves lc rgb colour(BLOCK[k], RANK[k]), \
            for [k = 1:LINES] CSV using (of_line(only(p, k), 'step')):(column(NAME . '_median')) \
                with linespoints lc rgb colour(BLOCK[k], RANK[k]) lw 1.2 dt dash(k) pt point(BLOCK[k], RANK[k]) ps 0.35
        unset label
        unset arrow
        unset object
    }
}
unset multiplot
