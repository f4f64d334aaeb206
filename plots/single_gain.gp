# Gains of single layers: the analogue of the paper's Fig. 3a and 7a. Data: single_gain.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('single_gain.gp')]
load DATA . '/single_gain.gp'
CSV = '/single_gain.csv'
FORWARD = 'forward gain of H_l'
BACKWARD = 'backward gain of H_l'
LINEAR = '[0.9:1.2<*]'
PAPER = 0
load HERE . 'gain.gp'
