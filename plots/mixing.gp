# The depth mixing matrix of each connection, with one scale of colours about 1. Data: mixing.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('mixing.gp')]
load DATA . '/mixing.gp'
CSV = DATA . '/mixing.csv'
ACROSS = WIDE ? 4 : 2 # panels in a row
SIDE = 3.15
STEP_X = WIDE ? 4.0 : 3.9
STEP_Y = SIDE + 1.0
DOWN = (LINES + ACROSS - 1) / ACROSS
TOP = 0.65
SCALE = 1.15 # cm of the scale of colours and of the names of the axes
HEIGHT = TOP + DOWN * STEP_Y - 0.35 + SCALE
load HERE . 'house.gp'

SIZE = TERM eq 'svg' ? '9.4' : '7.05'
clipped(x) = x > SPAN ? SPAN : x < -SPAN ? -SPAN : x
unset key
unset grid
unset colorbox
set style fill solid 1 noborder
eval SIGNED
set cbrange [-SPAN:SPAN]
HALF = 0.5 * STRIDE
set xrange [-HALF:LAYERS + HALF]
set yrange [LAYERS + 1 + HALF:1 - HALF]
TICK = LAYERS > 300 ? 200 : LAYERS > 100 ? 50 : LAYERS > 45 ? 20 : LAYERS > 15 ? 10 : 5
set multiplot
do for [k = 1:LINES] {
    left = 1.15 + STEP_X * ((k - 1) % ACROSS)
    top = TOP + STEP_Y * ((k - 1) / ACROSS)
    eval panel(left, top, left + SIDE, top + SIDE)
    set label 1 LABEL[k] at graph 0, 1 offset 0, 0.7 textcolor rgb INK font ',' . SIZE
    set label 2 sprintf('largest %.3g', 10**LARGEST[k]) at graph 1, 1 right offset 0, 0.7 textcolor rgb '#707070' font ',' . SIZE
    set xtics TICK
    set ytics TICK
    if ((k - 1) % ACROSS) { set format y '' } else { set format y '%g' }
    if (k + ACROSS <= LINES) { set format x '' } else { set format x '%g' }
    if ((k - 1) % ACROSS == 0) { set label 99 'input of layer' at screen X(left - 0.95), graph 0.5 center rotate by 90 textcolor rgb INK }
    if (k + ACROSS > LINES) { set xlabel 'source' offset 0, 0.6 textcolor rgb INK } else { unset xlabel }
    if (k == 1) {
        eval sprintf('set colorbox horizontal user origin screen %f, %f size screen %f, %f front noborder', \
            X(1.15), Y(PLOT_HEIGHT - 0.42), X(WIDE ? 6.5 : 4.5), 1 - Y(0.2))
        set cbtics ('1' 0) scale 0.3 offset 0, 0.6 textcolor rgb INK
        do for [e = 1:3] {
            if (e <= SPAN) { eval sprintf("set cbtics add ('%s' %d, '%s' %d)", '10^{−' . e . '}', -e, '10^{' . e . '}', e) }
        }
        if (SPAN < 1) { set cbtics add ('0.5' log10(0.5), '2' log10(2), '3' log10(3), '0.33' log10(1 / 3.0)) }
        set label 97 (WIDE ? 'weight |M| of the source' : 'weight |M|') at screen X(WIDE ? 7.9 : 5.9), Y(PLOT_HEIGHT - 0.52) left textcolor rgb INK
    } else { unset colorbox }
    plot CSV using (of_line(k, 'first_source')):(column('layer')):(column('first_source') - HALF):(column('last_source') + HALF): \
            (column('layer') - HALF):(column('layer') + HALF):(clipped(column('log10_mean'))) with boxxyerror fc palette
    unset label
}
unset multiplot
