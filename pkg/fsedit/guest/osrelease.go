package guest

import (
	"regexp"
	"strconv"
	"strings"
)

// parseShellVars reads NAME=value lines with shell quoting, as os-release(5) and
// the files of /etc/default and /etc/sysconfig have them. The last one wins.
func parseShellVars(text []byte) map[string]string {
	vars := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t#\"'") {
			continue
		}
		vars[name] = shellValue(value)
	}
	return vars
}

// shellValue is the first word of a shell's line, quotes and escapes undone.
func shellValue(s string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'':
			b.WriteByte(c)
		case c == '\\' && i+1 < len(s) && (quote == 0 || strings.IndexByte("$`\"\\", s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && (c == ' ' || c == '\t' || c == '#' || c == ';'):
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// readOS says which system v is. The first file that tells counts: os-release,
// lsb-release, then the files that distributions had before.
func readOS(v View, limit int64) OS {
	o := OS{Type: "linux", Family: "unknown"}
	for _, read := range []func(View, int64, *OS) bool{fromOSRelease, fromLSB, fromReleaseFiles} {
		if read(v, limit, &o) {
			break
		}
	}
	refineVersion(v, limit, &o)
	if o.Major == 0 && o.Minor == 0 {
		o.Major, o.Minor = numbers(o.Version)
	}
	return o
}

func fromOSRelease(v View, limit int64, o *OS) bool {
	for _, p := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := ReadFile(v, p, limit)
		if err != nil {
			continue
		}
		vars := parseShellVars(text)
		if vars["ID"] == "" {
			continue
		}
		o.Distro, o.Name, o.Version = vars["ID"], vars["PRETTY_NAME"], vars["VERSION_ID"]
		if o.Name == "" {
			o.Name = strings.TrimSpace(vars["NAME"] + " " + vars["VERSION"])
		}
		o.Family = familyOf(vars["ID"], vars["ID_LIKE"])
		return true
	}
	return false
}

// fromLSB reads lsb-release. RHEL 3 has one that says nothing but LSB_VERSION.
func fromLSB(v View, limit int64, o *OS) bool {
	text, err := ReadFile(v, "/etc/lsb-release", limit)
	if err != nil {
		return false
	}
	vars := parseShellVars(text)
	if vars["DISTRIB_ID"] == "" {
		return false
	}
	o.Distro = strings.ToLower(vars["DISTRIB_ID"])
	o.Name, o.Version = vars["DISTRIB_DESCRIPTION"], vars["DISTRIB_RELEASE"]
	o.Family = familyOf(o.Distro, "")
	return true
}

// families by ID of os-release; an ID that is not here goes by its ID_LIKE.
var families = map[string]string{
	"debian": "debian", "ubuntu": "debian", "linuxmint": "debian", "devuan": "debian", "raspbian": "debian", "kali": "debian",
	"pop": "debian", "proxmox": "debian", "astra": "debian", "deepin": "debian", "uos": "debian", "pardus": "debian",
	"rhel": "rhel", "redhat": "rhel", "centos": "rhel", "fedora": "rhel", "rocky": "rhel", "almalinux": "rhel", "ol": "rhel",
	"amzn": "rhel", "scientific": "rhel", "circle": "rhel", "eurolinux": "rhel", "miraclelinux": "rhel", "virtuozzo": "rhel",
	"xenenterprise": "rhel", "xcp-ng": "rhel", "openEuler": "rhel", "anolis": "rhel", "tencentos": "rhel",
	"opencloudos": "rhel", "kylin": "rhel", "neokylin": "rhel", "azurelinux": "rhel", "mariner": "rhel", "redos": "rhel", "meego": "rhel",
	"sles": "suse", "sled": "suse", "opensuse": "suse", "suse": "suse", "sle-micro": "suse",
	"altlinux": "alt", "arch": "arch", "manjaro": "arch", "cachyos": "arch", "endeavouros": "arch", "steamos": "arch",
	"alpine": "alpine", "gentoo": "gentoo", "void": "void", "photon": "photon",
	"mageia": "mandriva", "mandriva": "mandriva", "openmandriva": "mandriva", "slackware": "slackware",
	"flatcar": "image-based", "coreos": "image-based", "bottlerocket": "image-based", "talos": "image-based",
}

func familyOf(id, like string) string {
	for _, word := range append([]string{id}, strings.Fields(like)...) {
		if f := families[word]; f != "" {
			return f
		}
		if strings.HasPrefix(word, "opensuse") {
			return "suse"
		}
	}
	return "unknown"
}

var twoNumbers = regexp.MustCompile(`([0-9]{1,6})(?:\.([0-9]{1,6}))?`)

// numbers are the major and minor of a version.
func numbers(version string) (major, minor int) {
	m := twoNumbers.FindStringSubmatch(version)
	if m == nil {
		return 0, 0
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor
}

// refineVersion finds the minor where VERSION_ID is only a major.
func refineVersion(v View, limit int64, o *OS) {
	if strings.Contains(o.Version, ".") {
		return
	}
	files := map[string]string{
		"debian": "/etc/debian_version", "centos": "/etc/centos-release", "rocky": "/etc/rocky-release", "circle": "/etc/circle-release",
	}
	text, err := ReadFile(v, files[o.Distro], limit)
	if files[o.Distro] == "" || err != nil {
		return
	}
	if m := twoNumbers.FindString(string(text)); m != "" && (o.Version == "" || m == o.Version || strings.HasPrefix(m, o.Version+".")) {
		o.Version = m
	}
}
