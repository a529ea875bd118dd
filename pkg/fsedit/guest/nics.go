package guest

import (
	"regexp"
	"slices"
	"strings"
)

// nicReader collects the interfaces that a guest's own files name.
type nicReader struct {
	view  View
	limit int64
	nics  []NIC
}

// readNICs asks every network stack that may be configured. What one file says
// of an interface and another leaves open is put together; the first file that
// names an interface is its source. The order is that of the names.
func readNICs(v View, limit int64) []NIC {
	r := &nicReader{view: v, limit: limit}
	for _, read := range []func(){r.interfaces, r.netplan, r.networkManager, r.ifcfg, r.networkd, r.persistentNet, r.linkFiles, r.leases} {
		read()
	}
	slices.SortStableFunc(r.nics, func(a, b NIC) int { return strings.Compare(a.Name, b.Name) })
	return r.nics
}

// add merges one statement about an interface.
func (r *nicReader) add(n NIC) {
	n.MAC = canonicalMAC(n.MAC)
	if !validNIC(n.Name) {
		return
	}
	i := slices.IndexFunc(r.nics, func(o NIC) bool { return o.Name == n.Name })
	if i < 0 {
		r.nics = append(r.nics, n)
		return
	}
	if r.nics[i].MAC == "" {
		r.nics[i].MAC = n.MAC
	}
	if r.nics[i].Address == "" {
		r.nics[i].Address = n.Address
	}
}

var nicName = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,15}$`)

// validNIC leaves out patterns and what is no hardware.
func validNIC(name string) bool {
	if !nicName.MatchString(name) || strings.ContainsAny(name, ".@") {
		return false
	}
	for _, soft := range []string{"lo", "bond", "br", "virbr", "docker", "veth", "tun", "tap", "wg", "dummy", "team", "vlan", "sit", "ppp"} {
		if rest, ok := strings.CutPrefix(name, soft); ok && (rest == "" || rest[0] == '-' || rest[0] >= '0' && rest[0] <= '9') {
			return false
		}
	}
	return true
}

var macForm = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

// canonicalMAC is lower case with colons; empty when it is no address.
func canonicalMAC(s string) string {
	s = strings.ReplaceAll(strings.ToLower(strings.Trim(s, `"' `)), "-", ":")
	if !macForm.MatchString(s) {
		return ""
	}
	return s
}

// files reads those files of a directory that a name fits, in the order of names.
func (r *nicReader) files(dir string, fits func(name string) bool, use func(path, text string)) {
	list, err := r.view.ReadDir(dir)
	if err != nil {
		return
	}
	for _, d := range list {
		p := join(dir, d.Name)
		if fits(d.Name) && IsFile(r.view, p) {
			r.file(p, use)
		}
	}
}

func (r *nicReader) file(p string, use func(path, text string)) {
	if text, err := ReadFile(r.view, p, r.limit); err == nil {
		use(p, string(text))
	}
}

func suffix(ends ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(ends, func(e string) bool { return strings.HasSuffix(name, e) })
	}
}

// interfaces reads interfaces(5) of ifupdown.
func (r *nicReader) interfaces() {
	r.file("/etc/network/interfaces", r.ifupdown)
	r.files("/etc/network/interfaces.d", func(name string) bool { return !strings.HasPrefix(name, ".") }, r.ifupdown)
}

func (r *nicReader) ifupdown(p, text string) {
	var n NIC
	flush := func() {
		r.add(n)
		n = NIC{}
	}
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "iface":
			flush()
			n = NIC{Name: words[1], Source: p}
			if len(words) > 3 && words[3] == "dhcp" {
				n.Address = "dhcp"
			}
		case "auto", "mapping", "source", "source-directory", "rename":
			flush()
		case "address":
			n.Address = words[1]
		case "netmask":
			n.Address = withMask(n.Address, words[1])
		case "hwaddress":
			n.MAC = words[len(words)-1]
		default:
			if strings.HasPrefix(words[0], "allow-") {
				flush()
			}
		}
	}
	flush()
}

// withMask adds a netmask to an address that has none: "/24" for "255.255.255.0".
func withMask(address, mask string) string {
	if address == "" || address == "dhcp" || strings.Contains(address, "/") {
		return address
	}
	bits := 0
	for _, octet := range strings.Split(mask, ".") {
		for n := small(octet); n > 0; n >>= 1 {
			bits += n & 1
		}
	}
	if !strings.Contains(mask, ".") {
		bits = small(mask)
	}
	return address + "/" + itoa(bits)
}

// ifcfg reads the files of initscripts (sysconfig) and of SUSE's wicked.
func (r *nicReader) ifcfg() {
	for _, dir := range []string{"/etc/sysconfig/network-scripts", "/etc/sysconfig/network"} {
		fits := func(name string) bool {
			return strings.HasPrefix(name, "ifcfg-") && !strings.ContainsAny(name, "~") && !suffix(".bak", ".rpmsave", ".rpmnew", ".orig")(name)
		}
		r.files(dir, fits, func(p, text string) {
			vars := parseShellVars([]byte(text))
			n := NIC{Name: vars["DEVICE"], Source: p, MAC: vars["HWADDR"]}
			if n.Name == "" {
				_, n.Name, _ = strings.Cut(p, "ifcfg-")
			}
			if id, ok := strings.CutPrefix(n.Name, "eth-id-"); ok {
				n.Name, n.MAC = "", id
			}
			if n.MAC == "" {
				n.MAC = vars["LLADDR"]
			}
			n.Address = sysconfigAddress(vars)
			r.add(n)
		})
	}
}

func sysconfigAddress(vars map[string]string) string {
	if strings.HasPrefix(strings.ToLower(vars["BOOTPROTO"]), "dhcp") {
		return "dhcp"
	}
	switch {
	case vars["IPADDR"] == "":
		return ""
	case vars["PREFIX"] != "":
		return vars["IPADDR"] + "/" + vars["PREFIX"]
	case vars["PREFIXLEN"] != "":
		return vars["IPADDR"] + "/" + vars["PREFIXLEN"]
	case vars["NETMASK"] != "":
		return withMask(vars["IPADDR"], vars["NETMASK"])
	}
	return vars["IPADDR"]
}

var ruleName = regexp.MustCompile(`\bNAME:?="([^"]+)"`)
var ruleMAC = regexp.MustCompile(`(?:ATTR|SYSFS)S?\{address\}=="([^"]+)"`)

// persistentNet reads the rules by which udev kept names before systemd did.
func (r *nicReader) persistentNet() {
	fits := func(name string) bool { return strings.Contains(name, "persistent") && strings.Contains(name, "net") }
	r.files("/etc/udev/rules.d", fits, func(p, text string) {
		for _, line := range strings.Split(text, "\n") {
			name, mac := ruleName.FindStringSubmatch(line), ruleMAC.FindStringSubmatch(line)
			if name != nil && mac != nil && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				r.add(NIC{Name: name[1], MAC: mac[1], Source: p})
			}
		}
	})
}

var leaseName = regexp.MustCompile(`(?m)^\s*interface "([^"]+)";`)

// leases reads what DHCP clients left behind: names that some run had.
func (r *nicReader) leases() {
	for _, dir := range []string{"/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager"} {
		r.files(dir, suffix(".leases", ".lease"), func(p, text string) {
			for _, m := range leaseName.FindAllStringSubmatch(text, 16) {
				r.add(NIC{Name: m[1], Source: p, Address: "dhcp"})
			}
		})
	}
}
