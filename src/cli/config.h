/*
 * config - `holdfast config check|show|defaults|doc`
 *
 * These read tables and files, and talk to no running server.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

/* argv[0] is "config". The exit code. */
int cli_config(int argc, char **argv);

#endif
