package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const webAddress = "127.0.0.1:8080"

// Everything that nginx would place elsewhere lies under its own prefix.
const nginxConf = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen ` + webAddress + ` backlog=4096;
		location / { return 200 "ok\n"; }
	}
}
`

// web is wrk against nginx with a connection per request. nginx closes first.
type web struct {
	nginx *exec.Cmd
}

func (w *web) start() error {
	dir, err := os.MkdirTemp("", "nginx-")
	if err != nil {
		return err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf), 0o600); err != nil {
		return err
	}
	w.nginx = child("nginx", "-p", dir, "-c", conf, "-e", "stderr")
	w.nginx.Stderr = os.Stderr
	if err := w.nginx.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	for range 100 {
		conn, err := net.Dial("tcp", webAddress)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("start nginx: no answer within 5 s")
}

func (w *web) run(length time.Duration) (uint64, error) {
	seconds := strconv.Itoa(int(length / time.Second))
	wrk := child("wrk", "-t1", "-c16", "-d"+seconds+"s", "-H", "Connection: close", "http://"+webAddress+"/")
	if out, err := wrk.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return 0, nil
}

func (w *web) stop() error {
	return errors.Join(w.nginx.Process.Signal(syscall.SIGTERM), w.nginx.Wait())
}

// child is a command that ends with this process.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
