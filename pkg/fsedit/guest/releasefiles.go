package guest

import (
	"regexp"
	"strings"
)

// releaseFile is how a distribution named itself before os-release.
type releaseFile struct {
	path   string
	match  *regexp.Regexp // its first groups are major and minor; nil takes the whole as version
	distro string
	name   string // where the file does not say it
}

// releaseFiles in the order of asking: derivatives keep the file of their
// parent beside their own.
var releaseFiles = []releaseFile{
	{"/etc/openmandriva-release", regexp.MustCompile(`release (\d+)\.(\d+)`), "openmandriva", ""},
	{"/etc/mageia-release", regexp.MustCompile(`release (\d+)`), "mageia", ""},
	{"/etc/oracle-release", regexp.MustCompile(`release (\d+)(?:\.(\d+))?`), "ol", ""},
	{"/etc/centos-release", regexp.MustCompile(`release (\d+)(?:\.(\d+))?`), "centos", ""},
	{"/etc/rocky-release", regexp.MustCompile(`release (\d+)(?:\.(\d+))?`), "rocky", ""},
	{"/etc/altlinux-release", regexp.MustCompile(`(\d+)(?:\.(\d+))?`), "altlinux", ""},
	{"/etc/redhat-release", regexp.MustCompile(`^Fedora.* release (\d+)`), "fedora", ""},
	{"/etc/redhat-release", regexp.MustCompile(`^Red Hat.*release (\d+).*Update (\d+)`), "rhel", ""},
	{"/etc/redhat-release", regexp.MustCompile(`^Red Hat.*release (\d+)(?:\.(\d+))?`), "rhel", ""},
	{"/etc/redhat-release", regexp.MustCompile(`^CentOS.*release (\d+)(?:\.(\d+))?`), "centos", ""},
	{"/etc/redhat-release", regexp.MustCompile(`^Scientific Linux.*release (\d+)(?:\.(\d+))?`), "scientific", ""},
	{"/etc/redhat-release", regexp.MustCompile(`release (\d+)(?:\.(\d+))?`), "redhat", ""},
	{"/etc/debian_version", nil, "debian", "Debian GNU/Linux"},
	{"/etc/arch-release", nil, "arch", "Arch Linux"},
	{"/etc/gentoo-release", regexp.MustCompile(`version (\d+)\.(\d+)`), "gentoo", ""},
	{"/etc/slackware-version", regexp.MustCompile(`(\d+)\.(\d+)`), "slackware", ""},
	{"/etc/SuSE-release", regexp.MustCompile(`^SUSE (?:Linux|LINUX) Enterprise Desktop (\d+)`), "sled", ""},
	{"/etc/SuSE-release", regexp.MustCompile(`^SUSE (?:Linux|LINUX) Enterprise \S+ (\d+)`), "sles", ""},
	{"/etc/SuSE-release", regexp.MustCompile(`^(?:openSUSE|SuSE Linux|SUSE LINUX)\D* (\d+)\.(\d+)`), "opensuse", ""},
	{"/etc/alpine-release", regexp.MustCompile(`^(\d+)\.(\d+)`), "alpine", "Alpine Linux"},
	{"/etc/photon-release", regexp.MustCompile(`(\d+)\.(\d+)`), "photon", ""},
}

var patchLevel = regexp.MustCompile(`(?m)^PATCHLEVEL = (\d+)`)

func fromReleaseFiles(v View, limit int64, o *OS) bool {
	for _, r := range releaseFiles {
		if text, err := ReadFile(v, r.path, limit); err == nil && r.read(string(text), o) {
			o.Distro, o.Family = r.distro, familyOf(r.distro, "")
			return true
		}
	}
	return false
}

// read takes name and version from the text of the file.
func (r releaseFile) read(text string, o *OS) bool {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.TrimSpace(line)
	if r.match == nil {
		o.Name, o.Version = strings.TrimSpace(r.name+" "+line), line
		return true
	}
	m := r.match.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	o.Name, o.Version = line, m[1]
	if r.name != "" {
		o.Name = r.name + " " + line
	}
	if len(m) > 2 && m[2] != "" {
		o.Version += "." + m[2]
	}
	if p := patchLevel.FindStringSubmatch(text); p != nil && strings.HasPrefix(r.distro, "sle") {
		o.Version += "." + p[1]
	}
	return true
}
