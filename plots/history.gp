# Time of operations over commits. Data: history.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('history.gp')]
load DATA . '/history.gp'
CSV = DATA . '/history.csv'
KEY = 0.35 * (2 + LINES) + 0.3
ROWS = 5.6
HEIGHT = KEY + ROWS + 1.9
load HERE . 'house.gp'

of(k, name) = column('line') == k ? column(name) : NaN
found(k, is) = column('line') == k && column('found') == is && column('low') == column('low') ? column('level') : NaN
# Colours that eyes without a kind of cone tell apart; never ResNet's grey, which the mean has.
mine(k) = colour(1 + (k - 1) % 6, 0)
# Whiskers of lines side by side, or they hide one another.
at(k) = column('at') + 0.05 * (k - (LINES + 1) / 2.0)
set multiplot
unset key
eval panel(1.65, KEY, RIGHT - 0.5, KEY + ROWS)
eval y_label('time / time with the first base')
eval legend_box(20, 'eight of ten cases', 1.45, 0.25, PALE, 0.3)
eval legend_line(21, 'geometric mean of all', 1.45, 0.6, INK, 2.5, 'solid')
do for [k = 1:LINES] {
    y = 0.25 + 0.35 * (k + 1)
    eval sprintf("set arrow %d from screen %f, %f to screen %f, %f nohead lc rgb '%s' lw 1.2; \
set label %d LABEL[%d] noenhanced at screen %f, %f left textcolor rgb INK", \
        200 + k, X(1.45), Y(y), X(1.45 + SAMPLE), Y(y), mine(k), 200 + k, k, X(2.3), Y(y))
}
stats CSV using (column('level')) nooutput name 'L'
stats CSV using (column('high') == column('high') ? column('high') : column('level')) nooutput name 'H'
stats CSV using (column('low') == column('low') ? column('low') : column('level')) nooutput name 'B'
set xrange [-0.4:ENTRIES + 0.4] noextend
set yrange [(B_min < 0.97 ? B_min : 0.97) / 1.02:(H_max > 1.03 ? H_max : 1.03) * 1.02] noextend
if (H_max > 4 * B_min) { set logscale y; set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10) }
eval 'set xtics (' . XTICS . ') rotate by -45 left noenhanced'
set xlabel 'commit' offset 0, -1.2 textcolor rgb INK
piece(k, p, x) = column('line') == k && column('piece') == p ? x : NaN
plot for [p = 0:ENTRIES - 1] CSV using (piece(0, p, column('at'))):(column('low')):(column('high')) \
        with filledcurves fc rgb PALE fs transparent solid 0.3 noborder, \
    1 with lines lc rgb PALE lw 1 dt (2, 3), \
    for [k = 1:LINES] for [p = 0:ENTRIES - 1] \
        CSV using (piece(k, p, at(k))):(column('level')) with lines lc rgb mine(k) lw 1, \
    for [k = 1:LINES] CSV using (at(k)):(of(k, 'level')):(column('low')):(column('high')) \
        with yerrorbars lc rgb mine(k) lw 0.8 pt -1, \
    for [k = 1:LINES] CSV using (at(k)):(found(k, 0)) with points lc rgb '#ffffff' pt 7, \
    for [k = 1:LINES] CSV using (at(k)):(found(k, 0)) with points lc rgb mine(k) pt 6, \
    for [k = 1:LINES] CSV using (at(k)):(found(k, 1)) with points lc rgb mine(k) pt 7, \
    for [p = 0:ENTRIES - 1] CSV using (piece(0, p, column('at'))):(column('level')) with lines lc rgb INK lw 2.5
unset multiplot
