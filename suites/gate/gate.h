/* The sub-commands of the gate: each takes the words behind its name and returns the exit code. */
#ifndef GATE_H
#define GATE_H

int check_command(int argc, char **argv);
int compare_command(int argc, char **argv);
int regress_command(int argc, char **argv);

#endif
