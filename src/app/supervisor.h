/*
 * supervisor - `holdfast run`: life
 *
 * It holds the ports, starts the roles, replaces those that die or fall silent, loads
 * configurations and changes places with a new program. It parses nothing but messages
 * with fixed fields, and never waits for a child.
 */
#ifndef APP_SUPERVISOR_H
#define APP_SUPERVISOR_H

/* argv[0] is the program's name, argv[1] is "run". The exit code. */
int supervisor_main(int argc, char **argv);

#endif
