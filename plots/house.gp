# The look of every figure. Scripts are called by `mhcbench plot`, or by hand on the data it left:
#     gnuplot -d -c plots/phase.gp figures/data png phase.png
# DATA holds the CSV files and settings; TERM is svg, png, pdf or dumb (the default, a look in the terminal). A script
# sets DATA, TERM, OUT and COLUMNS from its arguments, loads the settings, sets HEIGHT (cm, without the caption) and
# loads this. WIDE, of the settings, says whether the figure is 17 or 8.5 cm wide: panels that stand side by side in a
# wide one stand below one another in a narrow one. Positions are in cm from the upper left corner. Fonts are 7 pt at
# the printed width.

set encoding utf8
set minussign
set datafile separator comma
set datafile columnheaders

WIDTH = WIDE ? 17.0 : 8.5
RIGHT = WIDTH - 0.4 # edge of the rightmost panel
ROW = 0.33
PLOT_HEIGHT = HEIGHT
HEIGHT = PLOT_HEIGHT + ROW * CAPTION_ROWS + 0.2
if (TERM eq '') TERM = 'dumb'
if (TERM eq 'svg') set terminal svg size WIDTH * 37.795, HEIGHT * 37.795 font 'sans-serif,9.4' \
    background '#ffffff'
DASH = 3.125 # what linewidth does not scale
if (TERM eq 'png') set terminal pngcairo size WIDTH * 118.11, HEIGHT * 118.11 font 'sans-serif,7.05' \
    fontscale 3.125 linewidth 3.125 dashlength DASH pointscale 3.125 background '#ffffff'
if (TERM eq 'pdf') set terminal pdfcairo size WIDTH cm, HEIGHT cm font 'sans-serif,7.05' \
    fontscale 0.75 linewidth 1.5 dashlength 2.7 pointscale 0.75 background '#ffffff'
if (TERM eq 'dumb') set terminal dumb enhanced size (COLUMNS eq '' ? 100 : COLUMNS + 0), 48
if (TERM ne 'dumb') set output OUT

X(cm) = cm / WIDTH
Y(cm) = 1 - cm / HEIGHT

# Blocks are 0 ResNet, 1 HC, 2 static HC, 3 mHC, 4 identity HC, 5 KromHC, 6 a skip, 7 mHC-lite, 8 go-mHC, 9 TBP-mHC,
# 10 sHC, 11 C-mHC; further lines of a block are other shades of its colour. Eyes that lack a kind of cone tell them
# apart, by lightness where not by hue; kinds of points differ too.
SHADES = "#606060 #303030 #a0a0a0 #808080 #e18528 #7a4205 #f4b581 #b5651d #c2452d #7c2415 #e5937f #99331f \
#2666a2 #4ba3f7 #123555 #8fbfec #2e9d6b #14573a #84cfae #207550 #7b4fa3 #432a5c #b89ad6 #5c3a7d \
#9c8a1e #4d440b #cfc274 #746615 \
#1f9ea8 #0d4d52 #86ced4 #177680 #c23b7e #6b1d44 #e39abf #952c60 #7d5a3c #44301f #bfa28a #5e432c \
#6f8f1f #3a4b0f #b6cc7e #536b17 #5a6fd6 #2c3a80 #aab5ee #4455a8"
colour(block, rank) = word(SHADES, 4 * block + rank % 4 + 1)
POINTS = "7 5 15 13 9 11 3 5 7 15 9 11"
point(block, rank) = word(POINTS, block + 1) + 0 - rank % 2 # filled, then open
BRANCH = '#d98ac0' # F and its parts
# Variants of study overhead, 1 the residual: those of mHC are shades of its colour.
variant_colour(v) = colour(BLOCK[v], RANK[v])
variant_point(v) = word('7 5 15 13 11 9', (v - 1) % 6 + 1) + 0
INK = '#404040'
PALE = '#909090'

set border 3 lc rgb PALE lw 0.75
set tics nomirror out scale 0.5 textcolor rgb INK
set grid lc rgb '#e4e4e4' lw 0.5 lt 1 dt 1 back
set key Left reverse samplen 2.2 spacing 1.0 textcolor rgb INK font ',' . (TERM eq 'svg' ? '9.4' : '7.05')
set style fill transparent solid 0.2 noborder
set pointsize 0.45
set xtics offset 0, 0.3
set ytics offset 0.4, 0
set format '%g' # the standard one keeps room for a sign, which puts a label beside its tick
set bars small

# Perceptually even: lightness falls by equal steps. One for magnitudes, one for signed values about 0.
EVEN = "(0 '#f6f7e3', 1 '#c7e4b8', 2 '#86d2a5', 3 '#2ebda5', 4 '#00a1a7', \
5 '#0082a1', 6 '#02618c', 7 '#2a4468', 8 '#292d3d')"
set palette defined @EVEN
SIGNED = "set palette defined (-4 '#1666aa', -3 '#5589bf', -2 '#89add3', -1 '#bdd1e6', 0 '#f8f4f2', \
1 '#e3c8ba', 2 '#cd9d83', 3 '#b5734d', 4 '#9b4805')"
MISSING = '#d8d8d8'

panel(left, top, right, bottom) = sprintf("LEFT = %f; set lmargin at screen %f; set tmargin at screen %f; \
set rmargin at screen %f; set bmargin at screen %f", left, X(left), Y(top), X(right), Y(bottom))

# The name of a line that is the paper's number; beside a single seed of ours it says so.
paper_text(value) = sprintf('paper: about %g%s', value, SEEDS < 2 ? '; ours: one seed' : '')

# Beside a panel, however wide its numbers are. A terminal cannot turn text: there the label lies in the plot.
y_label(text) = sprintf(TERM eq 'dumb' ? 'set label 99 "%s" at graph 0.03, 0.93' : \
    sprintf('set label 99 "%%s" at screen %f, graph 0.5 center rotate by 90 textcolor rgb INK', X(LEFT - 1.25)), text)

# The value of a column in the rows of one line; lines are blocks of rows.
of_line(k, name) = column('line') == k ? column(name) : NaN
# The same for points that no line joins to a neighbour: they have whiskers where others have a band. Blank lines in the
# CSV part them.
alone(k, name) = column('line') == k && column('apart') == 1 ? column(name) : NaN
# Every STEP layers a mark, those of the lines beside one another so that lines that coincide can be told apart.
marked(k, name) = column('line') == k && int(column('layer') - 1 + k * STEP / LINES) % STEP == 0 ? column(name) : NaN
# Overflow: open triangles at the upper edge, on an axis of their own.
overflow(k, name) = column('line') == k && column(name . '_overflow') == 1 ? 0.985 : NaN
overflow_layer(k, name) = int(column('layer')) % ceil(LAYERS / 40.0) == 0 ? overflow(k, name) : NaN
set y2range [0:1]

# Where connections coincide, as ResNet and those with exact maps do, the dashes of one leave room for the others;
# in grey print they tell lines apart.
set dashtype 11 (12, 6)
set dashtype 12 (3, 15)
set dashtype 13 (8, 8)
set dashtype 14 (3, 6)
dash(k) = BROKEN[k] ? 11 + (BROKEN[k] - 1) % 4 : 1

# Legend of the lines of a figure from line `first` on, in `columns` columns, its left edge at `left` cm: a key of
# gnuplot knows the width of one panel only. Drawn with a panel, then taken away by `unset label`, `unset arrow` and
# `unset object`.
LEGEND_ROW = 0.35
LEGEND_TOP = 0.25
SAMPLE = TERM eq 'dumb' ? 0 : 0.7 # of line; a letter has to do in the terminal
legend_entry(k, x, y, dash) = sprintf( \
    "set arrow %d from screen %f, %f to screen %f, %f nohead lc rgb '%s' lw 1.5 dt %d; \
set label %d LABEL[%d] at screen %f, %f left offset screen %f, 0 textcolor rgb INK point pt %d ps 0.6 lc rgb '%s'", \
    200 + k, X(x), Y(y), X(x + SAMPLE), Y(y), colour(BLOCK[k], RANK[k]), dash, \
    200 + k, k, X(x + 0.35), Y(y), X(TERM eq 'dumb' ? 0.9 : 0.42), point(BLOCK[k], RANK[k]), colour(BLOCK[k], RANK[k]))
legend_at(k, first, columns, left, dash) = legend_entry(k, left + ((k - first) % columns) * (1.2 + 0.14 * LONGEST), \
    LEGEND_TOP + LEGEND_ROW * ((k - first) / columns), dash)

legend_point(id, text, x, y, pt, colour) = sprintf("set label %d '' at screen %f, %f point pt %d ps 0.7 lc rgb '%s'; \
set label %d '%s' at screen %f, %f left textcolor rgb INK", \
    200 + id, X(x + 0.35), Y(y), pt, colour, 250 + id, text, X(x + 0.85), Y(y))
legend_line(id, text, x, y, colour, width, dash) = sprintf( \
    "set arrow %d from screen %f, %f to screen %f, %f nohead lc rgb '%s' lw %f dt %s; \
set label %d '%s' at screen %f, %f left textcolor rgb INK", \
    200 + id, X(x), Y(y), X(x + SAMPLE), Y(y), colour, width, dash, 200 + id, text, X(x + 0.85), Y(y))
legend_box(id, text, x, y, colour, solid) = sprintf( \
    "set object %d rectangle from screen %f, %f to screen %f, %f fc rgb '%s' fs solid %f noborder; \
set label %d '%s' at screen %f, %f left textcolor rgb INK", \
    200 + id, X(x), Y(y + 0.08), X(x + SAMPLE), Y(y - 0.08), colour, solid, 200 + id, text, X(x + 0.85), Y(y))
legend_variant(v, x, y) = sprintf("set arrow %d from screen %f, %f to screen %f, %f nohead lc rgb '%s' lw 1.2; \
set label %d NAME[%d] at screen %f, %f left offset screen %f, 0 textcolor rgb INK point pt %d ps 0.6 lc rgb '%s'", \
    200 + v, X(x), Y(y), X(x + SAMPLE), Y(y), variant_colour(v), \
    200 + v, v, X(x + 0.35), Y(y), X(TERM eq 'dumb' ? 0.9 : 0.42), variant_point(v), variant_colour(v))

# Drawn with the first panel of a figure, then taken away by `unset label`.
if (MODEL) { set label 98 'MODEL' at graph 1, 1 right offset 0, 0.6 textcolor rgb '#c2452d' }
set for [k = 1:CAPTION_ROWS] label 100 + k value(sprintf('CAPTION_%d', k)) \
    at screen X(0.15), Y(PLOT_HEIGHT + ROW * k - 0.12) left textcolor rgb '#707070'
