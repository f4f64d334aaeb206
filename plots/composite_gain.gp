# Composite gains against layer: the analogue of the paper's Fig. 3b and 7b. Data: composite_gain.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('composite_gain.gp')]
load DATA . '/composite_gain.gp'
CSV = '/composite_gain.csv'
FORWARD = 'forward gain of H_l…H_1'
BACKWARD = 'backward gain of H_L…H_l'
LINEAR = '[0:2.5<*]'
unset mytics
load HERE . 'gain.gp'
