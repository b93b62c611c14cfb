/* Process 1 of make check-kernels: all that a kernel has there beside tstream
 * and tests/sandbox.c. It sets the clock to 2039, tries the sandbox, serves a
 * stream on loopback to a tstream of its own, and then becomes tstream, which
 * the server ends by SIGTERM. What happens is told on the console. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 8080
#define URL "http://localhost:8080/x.json"
#define YEAR_2039 2177452800LL
#define HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TWEETS "17\r\n{\"text\":\"a\",\"id\":\"1\"}\r\n\r\n"
#define LIMIT "1d\r\n{\"limit\":{\"track\":4294967}}\r\n\r\n"
#define BYE "1b\r\n{\"disconnect\":{\"code\":9}}\r\n\r\n"

static void need(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void set_up(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	struct timespec now = { .tv_sec = YEAR_2039 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	mkdir("/dev", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	freopen("/dev/console", "r", stdin);
	freopen("/dev/console", "w", stdout);
	freopen("/dev/console", "w", stderr);
	setvbuf(stdout, NULL, _IOLBF, 0);
	need(mkdir("/proc", 0755) == 0 &&
		 mount("proc", "/proc", "proc", 0, NULL) == 0,
	     "proc");
	lo.ifr_flags = IFF_UP | IFF_RUNNING;
	need(ioctl(fd, SIOCSIFFLAGS, &lo) == 0, "lo");
	close(fd);
	need(clock_settime(CLOCK_REALTIME, &now) == 0, "clock");
}

/* Returns its wait status. */
static int run(char *const argv[])
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void try_sandbox(void)
{
	char name[64], *end;
	FILE *f = fopen("/trials", "r");

	need(f != NULL, "trials");
	while (fgets(name, sizeof name, f) != NULL) {
		end = strchr(name, '\n');
		*(end != NULL ? end : name) = '\0';
		char *argv[] = { "/sandbox", name, "/files/secret", NULL };
		int status = run(argv);
		printf("trial %s: %d\n", name,
		       WIFSIGNALED(status) ? -WTERMSIG(status)
					   : WEXITSTATUS(status));
	}
	fclose(f);
}

/* Read a request, and show it. */
static void show_request(int fd)
{
	static char buf[65536];
	char *line, *body = NULL;
	size_t n = 0, length = 0;
	ssize_t k;

	do {
		k = read(fd, buf + n, sizeof buf - 1 - n);
		n += k > 0 ? (size_t)k : 0;
		buf[n] = '\0';
		body = strstr(buf, "\r\n\r\n");
		line = strstr(buf, "Content-Length: ");
		length = line != NULL ? strtoul(line + 16, NULL, 10) : 0;
	} while (k > 0 && (body == NULL || strlen(body + 4) < length));
	for (line = strtok(buf, "\r\n"); line != NULL;
	     line = strtok(NULL, "\r\n"))
		printf("> %s\n", line);
}

/* The first stream ends by itself, the second with process 1. */
static void serve(int listening)
{
	static const char *const body[] = { HEAD TWEETS LIMIT BYE,
					    HEAD TWEETS };
	int i, fd;

	for (i = 0; i < 2; i++) {
		fd = accept(listening, NULL, NULL);
		show_request(fd);
		need(write(fd, body[i], strlen(body[i])) > 0, "write");
		if (i == 1) {
			sleep(2);
			kill(1, SIGTERM);
			pause();
		}
		close(fd);
	}
}

static void start_server(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons(PORT);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(bind(fd, (const struct sockaddr *)(const void *)&to, sizeof to) ==
		     0 &&
		 listen(fd, 5) == 0,
	     "listen");
	if (fork() == 0) {
		serve(fd);
		_exit(0);
	}
	close(fd);
}

/* What has been written in /out. */
static void show_files(void)
{
	char path[512], line[8192];
	struct dirent *e;
	DIR *d = opendir("/out");
	FILE *f;

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof path, "/out/%s", e->d_name);
		f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
		while (f != NULL && fgets(line, sizeof line, f) != NULL)
			printf("file %s: %s", e->d_name, line);
		if (f != NULL)
			fclose(f);
	}
}

int main(void)
{
	char *child[] = { "/tstream",
			  "-k",
			  "/keys.yaml",
			  "-u",
			  URL,
			  "-o",
			  "/out/%Y.ndjson",
			  "--report",
			  "/out/report.json",
			  NULL };
	char *one[] = { "/tstream", "-k", "/keys.yaml", "-u", URL, NULL };
	int status;

	set_up();
	printf("\n"); /* firmware's last line may have no end */
	try_sandbox();
	start_server();
	status = run(child);
	printf("child: %d\n", status);
	show_files();
	printf("becoming tstream\n");
	execv(one[0], one);
	need(false, "exec");
}
