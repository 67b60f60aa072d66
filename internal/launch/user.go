package launch

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// User is who runs a command.
type User struct {
	Name, Home string
	UID, GID   uint32
	Groups     []uint32 // supplementary
}

// Invoker is the user who called sudo, by the variables that it leaves; nil if
// nobody did, or if root did.
func Invoker(getenv func(string) string) (*User, error) {
	word := getenv("SUDO_UID")
	if word == "" || word == "0" {
		return nil, nil
	}
	uid, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read SUDO_UID: %q is not a user id", word)
	}
	known, err := user.LookupId(word)
	if err != nil {
		return nil, fmt.Errorf("look up user %s: %w", word, err)
	}
	u := &User{Name: known.Username, Home: known.HomeDir, UID: uint32(uid)}
	if u.GID, err = groupID(known.Gid); err != nil {
		return nil, err
	}
	all, err := known.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up groups of %s: %w", known.Username, err)
	}
	for _, word := range all {
		gid, err := groupID(word)
		if err != nil {
			return nil, err
		}
		u.Groups = append(u.Groups, gid)
	}
	return u, nil
}

func groupID(word string) (uint32, error) {
	gid, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read group id: %q is not a number", word)
	}
	return uint32(gid), nil
}

func (u *User) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// environ is env as the user's own: what sudo has put in is taken out.
func (u *User) environ(env []string) []string {
	if u == nil {
		return env
	}
	env = slices.DeleteFunc(slices.Clone(env), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "SUDO_") || slices.Contains([]string{"HOME", "USER", "LOGNAME", "MAIL"}, name)
	})
	return append(env, "HOME="+u.Home, "USER="+u.Name, "LOGNAME="+u.Name)
}
