/* The sub-commands of this room: each takes the words behind its name and returns the exit code. Those of the gate
 * are in gate/gate.h. */
#ifndef COMMANDS_H
#define COMMANDS_H

int run_command(int argc, char **argv);
int list_command(int argc, char **argv);
int show_command(int argc, char **argv);
int plot_command(int argc, char **argv);
int report_command(int argc, char **argv);
int export_command(int argc, char **argv);
int merge_command(int argc, char **argv);
int status_command(int argc, char **argv);
int doctor_command(int argc, char **argv);

#endif
