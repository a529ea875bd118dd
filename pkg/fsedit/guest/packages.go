package guest

import (
	"bufio"
	"bytes"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dpkgPackages reads the installed packages of dpkg's database (deb-control(5),
// dpkg-query(1)). Packages are informative: nothing is decided by them.
func dpkgPackages(v View, limits ondisk.Limits) ([]Package, error) {
	var all []Package
	text, err := ReadFile(v, "/var/lib/dpkg/status", limits.Text)
	if err == nil {
		all, err = parseDpkg(text, all, limits)
	}
	if err != nil {
		return nil, err
	}
	list, err := v.ReadDir("/var/lib/dpkg/status.d") // images without dpkg itself
	for i := 0; err == nil && i < len(list); i++ {
		p := "/var/lib/dpkg/status.d/" + list[i].Name
		if strings.HasSuffix(p, ".md5sums") || !IsFile(v, p) {
			continue
		}
		if text, err = ReadFile(v, p, limits.Text); err == nil {
			text = append([]byte("Status: install ok installed\n"), text...)
			all, err = parseDpkg(text, all, limits)
		}
	}
	slices.SortFunc(all, func(a, b Package) int {
		return strings.Compare(a.Name+"\x00"+a.Arch, b.Name+"\x00"+b.Arch)
	})
	return all, nil
}

// parseDpkg adds the installed packages of a list of paragraphs.
func parseDpkg(text []byte, all []Package, limits ondisk.Limits) ([]Package, error) {
	var p Package
	installed := false
	flush := func() {
		if installed && p.Name != "" {
			all = append(all, p)
		}
		p, installed = Package{}, false
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			flush()
			if len(all) > limits.Entries {
				return nil, ondisk.Because(ondisk.ErrTooBig, "more than %d packages", limits.Entries)
			}
			continue
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || line[0] == ' ' {
			continue
		}
		switch string(key) {
		case "Package":
			p.Name = string(bytes.TrimSpace(value))
		case "Version":
			p.Version = string(bytes.TrimSpace(value))
		case "Architecture":
			p.Arch = string(bytes.TrimSpace(value))
		case "Status":
			words := bytes.Fields(value)
			installed = len(words) == 3 && string(words[2]) == "installed"
		}
	}
	flush()
	return all, lines.Err()
}
