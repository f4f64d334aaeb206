# Composite gain over two parameters of the ensemble, with the paper's gains as contours.
# Data: phase.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('phase.gp')]
load DATA . '/phase.gp'
CSV = DATA . '/phase.csv'
TITLE = 0.55
TALL = TITLE + 5.2 + 1.1
HEIGHT = TALL * (WIDE ? 1 : PANELS)
load HERE . 'house.gp'

axis_text(name) = name eq 'w' ? "w, weight of each layer's own draw" : name eq 's' ? 's, weight of the shared draw' : \
    name eq 'd' ? 'd, weight of the identity' : name eq 't-max' ? 'Sinkhorn iterations t_{max}' : \
    name eq 'streams' ? 'streams n' : name eq 'depth' ? 'depth L (layers)' : name
here(p, name) = column('panel') == p ? column(name) : NaN
# Renderers leave seams between cells: under them lie the same, a little larger.
MORE = 0.03
below(p, axis) = here(p, axis . '_low') - MORE * (column(axis) - column(axis . '_low'))
above(p, axis) = here(p, axis . '_high') + MORE * (column(axis . '_high') - column(axis))
# Few ticks are to be had from powers of ten below two decades.
FEW = '(1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)'
# Contours are found in coordinates that are linear in the figure, of log10 gain, and kept as CSV like everything else.
# Cells that are not in the record have none about them; an overflow lies above every level.
even(x, logarithmic) = logarithmic ? log10(x) : x
uneven(x, logarithmic) = logarithmic ? 10**x : x
height(median, overflow) = overflow == 1 ? 309 : log10(median)
from_middle(x, y, p) = \
    ((2 * x - even(X_FROM[p], X_LOG[p]) - even(X_TO[p], X_LOG[p])) / \
     (even(X_TO[p], X_LOG[p]) - even(X_FROM[p], X_LOG[p])))**2 + \
    ((2 * y - even(Y_FROM[p], Y_LOG[p]) - even(Y_TO[p], Y_LOG[p])) / \
     (even(Y_TO[p], Y_LOG[p]) - even(Y_FROM[p], Y_LOG[p])))**2
LABEL_FONT = ',' . (TERM eq 'svg' ? '9.4' : '7.05')
unset key
set style fill solid 1 noborder
set style textbox opaque fc rgb '#ffffff' noborder margins 0.6, 0.6
unset grid
set multiplot
do for [p = 1:PANELS] {
    left = (WIDE ? p - 1 : 0) * 8.5 + 1.6
    top = TITLE + (WIDE ? 0 : p - 1) * TALL
    hc = BLOCK[p] == 1
    eval panel(left, top, left + 5.3, top + 5.2)
    set label 1 (hc ? 'HC, forward gain' : 'mHC, backward gain') at graph 0, 1 offset 0, 0.6 textcolor rgb INK
    set xlabel axis_text(X_NAME[p]) offset 0, 0.6 textcolor rgb INK
    eval y_label(axis_text(Y_NAME[p]))
    unset logscale
    set autoscale xy
    set contour base
    unset surface
    set print $CONTOURS
    print "x,y\nNaN,NaN\n" # never empty
    do for [k = 1:words(LEVELS[p])] {
        level = word(LEVELS[p], k)
        set cntrparam linear levels discrete log10(level)
        set table $TABLE
        splot CSV every :::ROW_FROM[p]::ROW_TO[p] using (even(column('x'), X_LOG[p])):(even(column('y'), Y_LOG[p])): \
            (height(column('median'), column('overflow')))
        unset table
        nearest = 1e300
        do for [i = 1:|$TABLE|] {
            line = $TABLE[i]
            if (line[1:1] eq '#' || words(line) < 3) { print ''; continue }
            x = word(line, 1) + 0; y = word(line, 2) + 0
            print sprintf('%.9g,%.9g', uneven(x, X_LOG[p]), uneven(y, Y_LOG[p]))
            if (from_middle(x, y, p) < nearest) { nearest = from_middle(x, y, p); label_x = x; label_y = y }
        }
        set label 1 + k level at uneven(label_x, X_LOG[p]), uneven(label_y, Y_LOG[p]) left offset 0.7, 0 boxed front \
            font LABEL_FONT textcolor rgb '#c2452d'
    }
    unset print
    set surface
    unset contour
    if (X_LOG[p]) { set logscale x }
    if (Y_LOG[p]) { set logscale y }
    set xrange [X_FROM[p]:X_TO[p]]
    eval 'set xtics (' . X_TICKS[p] . '); set ytics (' . Y_TICKS[p] . ')'
    set yrange [Y_FROM[p]:Y_TO[p]]
    set colorbox user origin screen X(left + 5.5), Y(top + 5.2) size screen X(0.25), 1 - Y(5.2) front noborder
    set cbtics scale 0.3 offset -0.8, 0 textcolor rgb INK
    if (hc) { set logscale cb }
    if (hc && HIGH[p] < 100) { eval 'set cbtics ' . FEW } else { set cbtics auto }
    set format cb (hc && HIGH[p] >= 100 ? '10^{%L}' : '%g')
    set cbrange [1:(HIGH[p] > 1.001 ? HIGH[p] : 1.001)]
    plot CSV using (here(p, 'x')):(here(p, 'y')):(here(p, 'x_low')):(here(p, 'x_high')):\
                (here(p, 'y_low')):(here(p, 'y_high')) \
            with boxxyerror fc rgb MISSING, \
        CSV using (here(p, 'x')):(here(p, 'y')):(below(p, 'x')):(above(p, 'x')): \
            (below(p, 'y')):(above(p, 'y')):(here(p, 'median')) \
            with boxxyerror fc palette, \
        CSV using (here(p, 'x')):(here(p, 'y')):(here(p, 'x_low')):(here(p, 'x_high')):\
                (here(p, 'y_low')):(here(p, 'y_high')):(here(p, 'median')) \
            with boxxyerror fc palette, \
        CSV using (DOTS[p] && column('median') == column('median') ? here(p, 'x') : NaN):(here(p, 'y')) \
            with points pt 7 ps 0.28 lc rgb '#ffffff', \
        CSV using (DOTS[p] && column('median') == column('median') ? here(p, 'x') : NaN):(here(p, 'y')) \
            with points pt 7 ps 0.16 lc rgb '#000000', \
        CSV using (column('overflow') == 1 ? here(p, 'x') : NaN):(here(p, 'y')) with points pt 8 ps 0.8 lc rgb INK, \
        for [under = 1:0:-1] $CONTOURS using 'x':'y' \
            with lines lw (under ? 3 : 1.3) lc rgb (under ? '#ffffff' : '#c2452d')
    unset label
}
unset multiplot
