package guest

import (
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ini is the sections of a keyfile: lower-case section and key; of a key that is
// repeated the first value.
type ini map[string]map[string]string

func parseINI(text string) ini {
	out := ini{}
	section := ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.ToLower(strings.Trim(line, "[] "))
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		if out[section] == nil {
			out[section] = map[string]string{}
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if _, known := out[section][key]; !known {
			out[section][key] = strings.TrimSpace(value)
		}
	}
	return out
}

// networkManager reads keyfiles (nm-settings-keyfile(5)).
func (r *nicReader) networkManager() {
	for _, dir := range []string{"/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"} {
		r.files(dir, func(string) bool { return true }, func(p, text string) {
			f := parseINI(text)
			if typ := f["connection"]["type"]; typ != "" && typ != "ethernet" && typ != "802-3-ethernet" {
				return
			}
			n := NIC{Name: f["connection"]["interface-name"], Source: p}
			for _, section := range []string{"ethernet", "802-3-ethernet"} {
				if n.MAC == "" {
					n.MAC = f[section]["mac-address"]
				}
			}
			switch ip := f["ipv4"]; {
			case ip["method"] == "auto":
				n.Address = "dhcp"
			case ip["address1"] != "":
				n.Address, _, _ = strings.Cut(ip["address1"], ",")
			case ip["addresses"] != "":
				n.Address, _, _ = strings.Cut(ip["addresses"], ";")
			}
			r.add(n)
		})
	}
}

// networkd reads systemd.network(5).
func (r *nicReader) networkd() {
	r.files("/etc/systemd/network", suffix(".network"), func(p, text string) {
		f := parseINI(text)
		n := NIC{MAC: first(f["match"]["macaddress"]), Source: p, Address: f["network"]["address"]}
		if dhcp := strings.ToLower(f["network"]["dhcp"]); n.Address == "" && (dhcp == "yes" || dhcp == "true" || dhcp == "ipv4" || dhcp == "both") {
			n.Address = "dhcp"
		}
		for _, name := range strings.Fields(f["match"]["name"]) {
			n.Name = name
			r.add(n)
		}
	})
}

// linkFiles reads systemd.link(5): names given to addresses.
func (r *nicReader) linkFiles() {
	r.files("/etc/systemd/network", suffix(".link"), func(p, text string) {
		f := parseINI(text)
		mac := first(f["match"]["macaddress"])
		if mac == "" {
			mac = first(f["match"]["permanentmacaddress"])
		}
		r.add(NIC{Name: f["link"]["name"], MAC: mac, Source: p})
	})
}

func first(words string) string {
	if w := strings.Fields(words); len(w) > 0 {
		return w[0]
	}
	return ""
}

// netplan reads the "ethernets" of netplan's YAML. It understands the block style
// that netplan's own tools and installers write: maps by indentation, lists of
// "- value", flow lists on one line. Anything else is passed over.
func (r *nicReader) netplan() {
	for _, dir := range []string{"/etc/netplan", "/usr/lib/netplan"} {
		r.files(dir, suffix(".yaml", ".yml"), r.netplanFile)
	}
}

// yamlLine is one line of block style.
type yamlLine struct {
	indent     int
	key, value string
}

func parseYAMLLine(line string) (yamlLine, bool) {
	text := strings.TrimLeft(line, " ")
	y := yamlLine{indent: len(line) - len(text)}
	if text == "" || text[0] == '#' {
		return y, false
	}
	if item, ok := strings.CutPrefix(text, "- "); ok {
		y.key, y.value = "-", scalar(item)
		return y, true
	}
	key, value, ok := strings.Cut(text, ":")
	y.key, y.value = strings.Trim(key, `"'`), scalar(value)
	return y, ok
}

// scalar is a plain or quoted value, or the first of a flow list.
func scalar(s string) string {
	s, _, _ = strings.Cut(" "+s, " #")
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") {
		s, _, _ = strings.Cut(strings.Trim(s, "[] "), ",")
	}
	return strings.Trim(strings.TrimSpace(s), `"'`)
}

func (r *nicReader) netplanFile(p, text string) {
	var path []yamlLine // from the top to the line
	var n NIC
	flush := func() {
		r.add(n)
		n = NIC{}
	}
	for _, line := range strings.Split(text, "\n") {
		y, ok := parseYAMLLine(line)
		if !ok {
			continue
		}
		for len(path) > 0 && (path[len(path)-1].indent > y.indent || path[len(path)-1].indent == y.indent && y.key != "-") {
			path = path[:len(path)-1]
		}
		path = append(path, y)
		if at := keys(path); len(at) >= 3 && at[0] == "network" && at[1] == "ethernets" {
			if len(at) == 3 {
				flush()
				n = NIC{Name: at[2], Source: p}
			}
			n.netplan(strings.Join(at[3:], "/"), y.value)
		} else if len(at) < 3 {
			flush()
		}
	}
	flush()
}

func keys(path []yamlLine) []string {
	out := make([]string, len(path))
	for i, y := range path {
		out[i] = y.key
	}
	return out
}

// netplan takes one value of an interface's definition.
func (n *NIC) netplan(key, value string) {
	switch key {
	case "match/macaddress":
		n.MAC = value
	case "set-name":
		n.Name = value
	case "dhcp4":
		if value == "true" || value == "yes" {
			n.Address = "dhcp"
		}
	case "addresses", "addresses/-":
		if n.Address == "" {
			n.Address = value
		}
	}
}
