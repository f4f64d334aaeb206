# Backward gain of trained mHC along the layers, as trained and with more Sinkhorn iterations. Data:
# training_layers.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('training_layers.gp')]
load DATA . '/training_layers.gp'
CSV = DATA . '/training_layers.csv'
KEY = 0.35 * (T_MAXES > 1 + PAPER ? T_MAXES : 1 + PAPER) + 0.3
ROWS = 4.6
HEIGHT = KEY + ROWS + 1.05
load HERE . 'house.gp'

of_t_max(k, name) = strcol('kind') eq 'gain' && column('line') == k ? column(name) : NaN
of_kind(kind, name) = strcol('kind') eq kind ? column(name) : NaN
set dashtype 11 (8, 4)
set dashtype 12 (3, 3)
dash(k) = k == 1 ? 1 : 9 + k
set multiplot # so that the caption is drawn once
unset key
unset mytics
set xrange [0:LAYERS > 1 ? LAYERS : 2]
if (LAYERS < 10) { set xtics 1 }
set yrange [0:1.1 * HIGH]
eval panel(1.65, KEY, RIGHT, KEY + ROWS)
eval y_label('backward gain of H_L…H_l')
set xlabel 'layer l' offset 0, 0.6 textcolor rgb INK
do for [k = 1:T_MAXES] {
    eval legend_line(k, sprintf('t_{max} = %d%s', T_MAX[k], k == 1 ? ', as trained' : ''), \
        1.45, 0.25 + 0.35 * (k - 1), colour(BLOCK, k - 1), 1.5, k == 1 ? 'solid' : k == 2 ? '(8, 4)' : '(3, 3)')
}
eval legend_point(30, 'column sums', 5.3, 0.25, 6, INK)
if (PAPER) {
    eval legend_point(31, 'of the paper', 5.3, 0.6, 2, '#000000')
    set object 1 rectangle from PAPER_MHC_PEAK_FROM, graph 0 to PAPER_MHC_PEAK_TO, graph 1 \
        fc rgb '#ececec' fs solid 1 noborder behind
    set label 1 sprintf("paper's peak,\nabout %g%s", PAPER_MHC_GAIN, SEEDS < 2 ? "\n(ours: one seed)" : '') \
        at PAPER_MHC_PEAK_FROM, graph (SEEDS < 2 ? 0.19 : 0.12) left offset -0.3, 0 textcolor rgb '#606060' front
}
PAPER_SUMS = PAPER ? sprintf('%g %g', PAPER_MHC_COLUMN_LEAST, PAPER_MHC_COLUMN_MOST) : 'NaN'
plot 1 with lines lc rgb PALE lw 1, \
    for [k = 1:T_MAXES] CSV using (of_t_max(k, 'layer')):(column('least')):(column('most')) \
        with filledcurves lc rgb colour(BLOCK, k - 1), \
    for [k = 1:T_MAXES] CSV using (of_t_max(k, 'layer')):(column('median')) \
        with lines lc rgb colour(BLOCK, k - 1) lw 1.5 dt dash(k), \
    for [kind in 'column_least column_most'] CSV using (of_kind(kind, 'layer')): \
        (column('median')):(column('least')):(column('most')) \
        with yerrorbars lc rgb INK lw 1 pt 6 ps 0.7, \
    for [paper in PAPER_SUMS] '+' using (LAYERS / 2 + 1):(paper + 0) every ::0::0 \
        with points lc rgb '#000000' pt 2 ps 0.8 lw 1.5
unset multiplot
