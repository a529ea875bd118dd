package selinux

import (
	"bytes"
	"strings"
)

// Mode is what SELINUX= of the configuration says.
type Mode string

const (
	Enforcing  Mode = "enforcing"
	Permissive Mode = "permissive"
	Disabled   Mode = "disabled"
)

// ConfigPath is where a guest says whether it labels its files.
const ConfigPath = "/etc/selinux/config"

// Config is the content of [ConfigPath].
type Config struct {
	Mode   Mode   // empty when it says none that is known
	Policy string // "targeted": a folder of /etc/selinux
}

// ParseConfig reads the configuration as libselinux does: the first mode and the
// last policy count, mode names in any case.
func ParseConfig(text []byte) Config {
	c := Config{Policy: "targeted"}
	for raw := range bytes.Lines(text) {
		line := strings.TrimSpace(string(raw))
		if v, ok := strings.CutPrefix(line, "SELINUXTYPE="); ok {
			c.Policy = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "SELINUX="); ok && c.Mode == "" {
			c.Mode = modeOf(v)
		}
	}
	return c
}

func modeOf(v string) Mode {
	for _, m := range []Mode{Enforcing, Permissive, Disabled} {
		if len(v) >= len(m) && strings.EqualFold(v[:len(m)], string(m)) {
			return m
		}
	}
	return ""
}

// Labels reports whether a guest with this configuration labels its files. A mode
// that is misspelt does not turn SELinux off.
func (c Config) Labels() bool { return c.Mode != Disabled && c.valid() }

// valid keeps a name from leading out of /etc/selinux.
func (c Config) valid() bool {
	return c.Policy != "" && c.Policy != "." && c.Policy != ".." && !strings.ContainsAny(c.Policy, "/\x00")
}

// folder is where the policy keeps its file contexts.
func (c Config) folder() string { return "/etc/selinux/" + c.Policy + "/contexts/files/" }
