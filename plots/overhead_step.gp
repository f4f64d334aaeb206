# A training step in parts, one bar per connection. Data: overhead_step.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead_step.gp')]
load DATA . '/overhead_step.gp'
CSV = DATA . '/overhead_step.csv'
ROWS = 5.2
# In a narrow figure the parts are named above the bars, and the connections stand askew.
KEY = WIDE ? 0.3 : 0.35 * ((PARTS + 2) / 2) + 0.4
HEIGHT = KEY + ROWS + (WIDE ? 0.9 : 1.6)
load HERE . 'house.gp'

# F in greys, the connection in violets, which no kind of connection has.
shade(k) = word('#e0e0e0 #c8c8c8 #aeaeae #929292 #747474 #dcc8ee #b48bd8 #8a55b5 #552a80 #2e1347', k)
of(k, name) = column('part') == k ? column(name) : NaN
eval panel(1.65, KEY, WIDE ? 12.6 : RIGHT, KEY + ROWS)
eval y_label('time of a step (ms)')
unset mytics
set xrange [0.5:VARIANTS + 0.5]
unset xtics
set xtics scale 0 offset 0, 0.3 ('' 0)
set xtics textcolor rgb INK
if (!WIDE) { set xtics rotate by 35 right offset 0.5, 0.2 }
# Two rows: what is behind the comma below.
above(name) = WIDE && strstrt(name, ', ') ? name[1:strstrt(name, ', ')] . "\n" . name[strstrt(name, ', ') + 2:*] : name
set for [v = 1:VARIANTS] xtics add (above(NAME[v]) v)
set yrange [0:*]
set style fill solid 1 noborder
if (WIDE) { set key at screen X(12.9), Y(KEY) top left vertical invert } \
else { set key at screen X(1.3), Y(0.1) top left vertical maxrows (PARTS + 2) / 2 }
plot for [k = 1:PARTS] CSV using (column('variant')):(of(k, 'from')): \
        (column('variant') - 0.3):(column('variant') + 0.3):(of(k, 'from')):(of(k, 'to')) \
        with boxxyerror lc rgb shade(k) title PART[k], \
    CSV using (of(1, 'variant')):(column('step')) with points pt 2 ps 1.2 lc rgb '#000000' lw 1.2 title 'whole step'
