package launch

import (
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestInvoker(t *testing.T) {
	for _, word := range []string{"", "0"} {
		if u, err := Invoker(environment(map[string]string{"SUDO_UID": word})); u != nil || err != nil {
			t.Errorf("SUDO_UID=%q: %+v, %v, want nobody", word, u, err)
		}
	}
	for _, word := range []string{"x", "-1", "4294967296", "4000000000"} {
		if u, err := Invoker(environment(map[string]string{"SUDO_UID": word})); err == nil {
			t.Errorf("SUDO_UID=%q: %+v, want an error", word, u)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := []string{"PATH=/bin", "HOME=/root", "SUDO_UID=1000", "SUDO_COMMAND=x", "USER=root", "LOGNAME=root", "HOMER=simpson"}
	got := (&User{Name: "ann", Home: "/home/ann"}).environ(env)
	want := []string{"PATH=/bin", "HOMER=simpson", "HOME=/home/ann", "USER=ann", "LOGNAME=ann"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(env, (*User)(nil).environ(env)); diff != "" {
		t.Errorf("nobody in particular: (-want +got):\n%s", diff)
	}
}

// Under sudo the command is its user's: its ids, its groups and the files that it
// makes.
func TestCommandOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		unable(t, "another user's command needs root")
		return
	}
	nobody, err := Invoker(environment(map[string]string{"SUDO_UID": "65534"}))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { // and its parent, which t.TempDir makes
		t.Fatal(err)
	}
	p, out := shell(t, Command{As: nobody}, `id -un; echo $HOME; grep CapEff /proc/self/status`)
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(); code != 0 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
	want := nobody.Name + "\n" + nobody.Home + "\nCapEff:\t0000000000000000\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
