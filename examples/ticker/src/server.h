#ifndef SERVER_H
#define SERVER_H

int server_listen(unsigned short *port);
void server_run(int listener);

#endif
