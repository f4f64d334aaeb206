# A training step in parts, a bar a connection. Data: overhead_step.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead_step.gp')]
load DATA . '/overhead_step.gp'
CSV = DATA . '/overhead_step.csv'
ROWS = 5.2
HEIGHT = ROWS + 1.2
load HERE . 'house.gp'

# F in greys, the connection in violets, which no kind of connection has.
shade(k) = word('#e0e0e0 #c8c8c8 #aeaeae #929292 #747474 #dcc8ee #b48bd8 #8a55b5 #552a80 #2e1347', k)
of(k, name) = column('part') == k ? column(name) : NaN
eval panel(1.65, 0.3, 12.6, 0.3 + ROWS)
eval y_label('time of a step (ms)')
unset mytics
set xrange [0.5:VARIANTS + 0.5]
unset xtics
set xtics scale 0 offset 0, 0.3 ('' 0)
set xtics textcolor rgb INK
# Two rows: what is behind the comma below.
above(name) = strstrt(name, ', ') ? name[1:strstrt(name, ', ')] . "\n" . name[strstrt(name, ', ') + 2:*] : name
set for [v = 1:VARIANTS] xtics add (above(NAME[v]) v)
set yrange [0:*]
set style fill solid 1 noborder
set key at screen X(12.9), Y(0.3) top left vertical invert
plot for [k = 1:PARTS] CSV using (column('variant')):(of(k, 'from')):(column('variant') - 0.3):(column('variant') + 0.3):(of(k, 'from')):(of(k, 'to')) \
        with boxxyerror lc rgb shade(k) title PART[k], \
    CSV using (of(1, 'variant')):(column('step')) with points pt 2 ps 1.2 lc rgb '#000000' lw 1.2 title 'whole step'
