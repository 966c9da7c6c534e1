/*
 * commands - what the rows of command_table run
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

/* cli.c */
int command_run(struct cli *c);
int command_config(struct cli *c);
/* pass.c: the server knows what the words mean */
int command_pass(struct cli *c);
/* users.c: commands with passwords */
int command_user_add(struct cli *c);
int command_user_passwd(struct cli *c);
int command_user_remove(struct cli *c);
/* accounts.c: what the auth role knows */
int command_user_account(struct cli *c);
int command_user_passwords(struct cli *c);
int command_relay_passwd(struct cli *c);
/* events.c: what this program knows itself */
int command_events(struct cli *c);
int command_journal(struct cli *c);
int command_version(struct cli *c);
/* top.c */
int command_top(struct cli *c);
/* trace.c */
int command_watch(struct cli *c);
/* access.c: lists of the configuration, without a server */
int command_access_test(struct cli *c);
int command_access_list(struct cli *c);
int command_access_export(struct cli *c);
int command_access_import(struct cli *c);
/* dkim.c */
int command_dkim(struct cli *c);
/* queue.c: orders over many messages, and lists of them */
int command_queue_order(struct cli *c);
int command_queue_list(struct cli *c);
int command_mailq(struct cli *c);
/* sendmail.c */
int command_sendmail(struct cli *c);
/* demo.c */
int command_demo(struct cli *c);

#endif
