# What each connection costs and does: one row per connection, one column per quantity. Data: costs.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('costs.gp')]
load DATA . '/costs.gp'
CSV = DATA . '/costs.csv'
array NAMES[8] = ['bytes', 'parameters', 'gain_forward', 'gain_backward', 'reach_forward', 'reach_backward', \
    'rank', 'loss']
array HEAD[8] = ["traffic,\nkB per token", "parameters\nof a site", "gain,\nforward", "gain,\nbackward", \
    "reach,\nforward", "reach,\nbackward", "rank,\nat the exit", "loss,\nheld out"]
SHOWN = TRAINED ? 8 : 7
ACROSS = WIDE ? SHOWN : 2
ROW_HIGH = 0.52
TALL = ROW_HIGH * LINES + 0.2
BLOCK_HIGH = TALL + 1.45
TOP = 0.95
NAMES_WIDE = WIDE ? 3.2 : 2.5 # cm left of the first column, for names
HEIGHT = ((SHOWN + ACROSS - 1) / ACROSS) * BLOCK_HIGH + 0.05
load HERE . 'house.gp'

SIZE = TERM eq 'svg' ? '9.4' : '7.05'
STEP_X = (WIDTH - NAMES_WIDE - 0.2) / ACROSS
PALER = "#eeeeee"
unset key
unset ytics
set grid nox noy
set border 1 lc rgb PALE lw 0.75
median(name) = name eq 'bytes' ? column('bytes') / 1000 : name eq 'parameters' ? column(name) : column(name . '_median')
bound(name, end) = name eq 'bytes' || name eq 'parameters' ? median(name) : column(name . '_' . end)
at(k, name) = column('line') == k ? median(name) : NaN
short(x) = x != x ? '' : x == 0 ? 'none' : x >= 1e6 ? sprintf('%.2gM', x / 1e6) : \
    x >= 9950 ? sprintf('%.0fk', x / 1e3) : x >= 99.5 ? sprintf('%.0f', x) : sprintf('%.3g', x)
set multiplot
do for [q = 1:SHOWN] {
    name = NAMES[q]
    left = NAMES_WIDE + STEP_X * ((q - 1) % ACROSS)
    top = TOP + BLOCK_HIGH * ((q - 1) / ACROSS)
    eval panel(left + 0.12, top, left + STEP_X - 0.12, top + TALL)
    set label 1 HEAD[q] at graph 0.5, 1 center offset 0, 1.6 textcolor rgb INK font ',' . SIZE
    if ((q - 1) % ACROSS == 0) {
        do for [k = 1:LINES] {
            set label 10 + k LABEL[k] . (EXACT[k] ? ', exact' : '') at screen X(0.2), first k left \
                textcolor rgb INK font ',' . SIZE
            eval sprintf('set arrow %d from screen %f, first %d to screen %f, first %d ' . \
                'nohead back lc rgb PALER lw 0.75', 10 + k, X(NAMES_WIDE), k, X(WIDTH - 0.2), k)
        }
    }
    set autoscale xy # statistics are of what the ranges hold
    stats CSV using (bound(name, 'most')) nooutput name 'HIGH'
    stats CSV using (bound(name, 'least') > 0 ? bound(name, 'least') : NaN) nooutput name 'LOW'
    set yrange [LINES + 0.6:0.4]
    wide = HIGH_max > 20 * LOW_min
    if (wide) { set logscale x } else { unset logscale x }
    # An axis that is not logarithmic begins at 0, so that what differs little looks so; the loss, which never comes
    # near 0, has numbers, as the logarithmic ones have.
    cut = name eq 'loss'
    low = wide ? LOW_min / (HIGH_max / LOW_min)**0.2 : cut ? LOW_min - 0.2 * (HIGH_max - LOW_min) : 0
    high = wide ? HIGH_max * (HIGH_max / LOW_min)**0.2 : HIGH_max + 0.2 * (cut ? HIGH_max - LOW_min : HIGH_max)
    if (high <= low) { low = 0.5 * low; high = 1.5 * high }
    set xrange [low:high] noextend
    set xtics out nomirror scale 0.4 offset 0, 0.4 font ',' . SIZE textcolor rgb PALE
    if (wide) {
        first = 10**ceil(log10(LOW_min)); last = 10**floor(log10(HIGH_max))
        set xtics (short(first) first, short(last) last)
    } else {
        if (cut) { set xtics (short(LOW_min) LOW_min, short(HIGH_max) HIGH_max) } else { set xtics ('0' 0) }
    }
    plot for [k = 1:LINES] CSV using (at(k, name)):(k):(bound(name, 'least')):(bound(name, 'most')) \
            with xerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 1 pt point(BLOCK[k], RANK[k]) ps 0.6, \
        CSV using (median(name) > 0 ? median(name) : LOW_min):'line':(short(median(name))) \
            with labels center offset 0, 0.62 font ',' . SIZE textcolor rgb INK
    unset label
    unset arrow
}
unset multiplot
