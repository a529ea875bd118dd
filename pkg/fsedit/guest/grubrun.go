package guest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/grubcfg"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// grub follows GRUB from what it has built in to its menu: the commands that
// search for a filesystem, set variables and load the next script (GNU GRUB
// Manual, "Commands"). Conditions are not evaluated: all branches run, one after
// the other.
type grub struct {
	*chain
	vars   map[string]string
	files  []string
	missed string // a filesystem that a search did not find
	seen   map[string]bool
	menu   bool
}

func newGRUB(c *chain, p *EFIProgram) *grub {
	own := "(" + onVolume + c.esp.Volume + ")"
	inside := strings.TrimPrefix(path.Dir(p.Path), strings.TrimSuffix(c.esp.Path, "/"))
	return &grub{chain: c, seen: map[string]bool{}, vars: map[string]string{
		"cmdpath": own + inside, "root": strings.Trim(own, "()"),
	}}
}

// onVolume begins the names that devices have here besides those of GRUB.
const onVolume = "volume/"

// start runs the built-in script and then the configuration of the prefix
// (grub_set_prefix_and_root in kern/main.c).
func (g *grub) start(core *efi.Core) ([]string, string) {
	g.vars["prefix"] = g.prefix(core.Prefix)
	memdisk := strings.Contains(core.Script, "(memdisk)") // which asks for the same
	if !memdisk {
		g.run(core.Script)
	}
	if !g.menu {
		g.load(g.vars["prefix"] + "/grub.cfg")
	}
	if memdisk && !g.menu && len(g.files) == 0 {
		g.load(g.vars["cmdpath"] + "/grub.cfg")
	}
	switch {
	case g.menu:
		return g.files, ""
	case len(g.files) > 0:
		return g.files, g.why(g.files[len(g.files)-1] + " leads to no menu")
	}
	return nil, g.why("no configuration is at " + g.vars["prefix"])
}

func (g *grub) why(text string) string {
	if g.missed != "" {
		return fmt.Sprintf("%s: no filesystem %s is on the disks", text, g.missed)
	}
	return strings.ReplaceAll(text, onVolume, "")
}

// prefix completes the built-in one with the device that GRUB was loaded from.
func (g *grub) prefix(built string) string {
	device, p, ok := strings.Cut(strings.TrimPrefix(built, "("), ")")
	switch {
	case built == "":
		return g.vars["cmdpath"]
	case !ok || built[0] != '(':
		return "(" + g.vars["root"] + ")" + built
	case strings.HasPrefix(device, ","):
		return fmt.Sprintf("(hd%d%s)%s", g.disk, device, p)
	}
	return built
}

// load reads a script at a path of GRUB's and runs it.
func (g *grub) load(name string) {
	file := g.file(name)
	if file == "" || g.seen[file] || len(g.files) == maxSteps || !IsFile(g.view, file) {
		return
	}
	g.seen[file] = true
	text, err := ReadFile(g.view, file, min(g.limit, maxScript))
	if g.scripts++; err != nil || g.scripts > maxScripts {
		return
	}
	g.files = append(g.files, file)
	g.run(string(text))
}

func (g *grub) run(script string) {
	cfg, err := grubcfg.Parse([]byte(script), ondisk.Limits{Text: g.limit})
	if err != nil {
		return
	}
	for range cfg.Commands("blscfg") {
		g.menu = true
	}
	if g.menu = g.menu || len(cfg.Menu()) > 0; g.menu {
		return
	}
	for cmd := range cfg.Commands() {
		if g.command(cmd); g.menu {
			return
		}
	}
}

func (g *grub) command(cmd *grubcfg.Command) {
	if g.steps++; g.steps > maxRun {
		return
	}
	var args []string
	for _, w := range cmd.Args() {
		args = append(args, g.expand(w))
	}
	switch name := cmd.Name(); {
	case name == "set":
		for _, a := range args {
			g.assign(a)
		}
	case len(args) == 0 && strings.Contains(name, "="):
		g.assign(g.expand(cmd.Words[0]))
	case name == "search" || strings.HasPrefix(name, "search."):
		g.search(strings.TrimPrefix(name, "search"), args)
	case (name == "configfile" || name == "source" || name == "." || name == "normal") && len(args) > 0:
		g.load(args[0])
	case name == "normal":
		g.load(g.vars["prefix"] + "/grub.cfg")
	}
}

func (g *grub) assign(word string) {
	if key, value, ok := strings.Cut(word, "="); ok && len(word) <= maxWord {
		g.vars[key] = value
	}
}

var grubVariable = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`)

func (g *grub) expand(w grubcfg.Word) string {
	if !w.Expands || len(w.Text) > maxWord {
		return w.Text
	}
	return grubVariable.ReplaceAllStringFunc(w.Text, func(ref string) string {
		return g.vars[strings.Trim(ref, "${}")]
	})
}

// search sets a variable to the device that it finds; one that finds nothing sets
// nothing.
func (g *grub) search(form string, args []string) {
	q, ok := grubQuery{variable: "root", by: "--file"}, true
	if form == "" {
		q.options(args)
	} else {
		ok = q.short(form, args)
	}
	if !ok || q.name == "" {
		return
	}
	if id := g.find(q.by, q.name); id != "" {
		g.vars[q.variable] = onVolume + id
	} else {
		g.missed = q.name
	}
}

// grubQuery is what a search asks for.
type grubQuery struct{ variable, by, name string }

// short is a form of which GRUB's installer makes use: what is sought, the variable,
// hints.
func (q *grubQuery) short(form string, args []string) bool {
	q.by = map[string]string{".fs_uuid": "--fs-uuid", ".fs_label": "--label", ".file": "--file"}[form]
	if len(args) > 0 {
		q.name = args[0]
	}
	if len(args) > 1 {
		q.variable = args[1]
	}
	return q.by != ""
}

var grubHints = []string{"--hint", "--hint-bios", "--hint-efi", "--hint-baremetal", "--hint-ieee1275"}

// options are those of the command search.
func (q *grubQuery) options(args []string) {
	for i, a := range args {
		before := ""
		if i > 0 {
			before = args[i-1]
		}
		switch {
		case a == "-u", a == "--fs-uuid":
			q.by = "--fs-uuid"
		case a == "-l", a == "--label", a == "--fs-label":
			q.by = "--label"
		case strings.HasPrefix(a, "--set="):
			q.variable = a[len("--set="):]
		case strings.HasPrefix(a, "-"), slices.Contains(grubHints, before):
		case before == "-s", before == "--set" && i+1 < len(args):
			q.variable = a
		default:
			q.name = a
		}
	}
}

func (g *grub) find(by, name string) string {
	if by == "--file" {
		for _, m := range g.mounts {
			if p := path.Join(m.Path, name); m.Volume != "" && !g.hidden(m.Path, p) && Exists(g.view, p) {
				return m.Volume
			}
		}
		return ""
	}
	ids := g.devices.Find(map[string]string{"--fs-uuid": "UUID=", "--label": "LABEL="}[by] + name)
	for _, id := range ids { // of copies the one in use
		if g.mountOf(id) != "" {
			return id
		}
	}
	if len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// file is where the tree has what GRUB calls "(device)/path" or "/path".
func (g *grub) file(name string) string {
	device, p := g.vars["root"], name
	if rest, ok := strings.CutPrefix(name, "("); ok {
		device, p, _ = strings.Cut(rest, ")")
	}
	for _, id := range g.volumes(device) {
		if at := g.mountOf(id); at != "" && !g.hidden(at, path.Join(at, p)) {
			return path.Join(at, p)
		}
	}
	return ""
}

// hidden reports whether the tree has another filesystem at a path below a mount:
// GRUB sees the folder that it is mounted on.
func (g *grub) hidden(at, p string) bool {
	return slices.ContainsFunc(g.mounts, func(m Mount) bool {
		return len(m.Path) > len(at) && (p == m.Path || strings.HasPrefix(p, m.Path+"/"))
	})
}

func (g *grub) mountOf(id string) string {
	for _, m := range g.mounts {
		if m.Volume == id {
			return m.Path
		}
	}
	return ""
}

var grubDisk = regexp.MustCompile(`^hd([0-9]{1,4})(?:,(?:gpt|msdos|)([0-9]{1,4}))?$`)

// volumes are those that a name of GRUB's for a device can mean.
func (g *grub) volumes(device string) []string {
	if id, ok := strings.CutPrefix(device, onVolume); ok {
		return []string{id}
	}
	if m := grubDisk.FindStringSubmatch(device); m != nil {
		return g.devices.at(small(m[1]), small(m[2]))
	}
	if name, ok := strings.CutPrefix(device, "lvm/"); ok {
		return g.devices.Find("/dev/mapper/" + name)
	}
	if name, ok := strings.CutPrefix(device, "md/"); ok {
		return slices.Concat(g.devices.Find("/dev/md/"+name), g.devices.Find("/dev/md"+name))
	}
	return nil
}
