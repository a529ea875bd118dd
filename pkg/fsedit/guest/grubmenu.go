package guest

import (
	"path"
	"strings"
)

// grub2 reads the menu of a grub.cfg as GRUB would show it at the next start:
// entries, submenus, what is the default. It only looks; the words of the script
// are GRUB's (info grub, "Writing full configuration files directly").
func (r *entryReader) grub2(p, env string) {
	g := grubMenu{reader: r, vars: grubEnv(r.text(env)), from: len(r.entries)}
	g.script(r.text(p))
	if g.blscfg {
		for _, dir := range []string{"/boot/loader/entries", "/loader/entries"} {
			r.loaderEntries(dir, g.vars["saved_entry"], g.vars)
		}
		return
	}
	g.markDefault()
}

// grubMenu is one pass over a script.
type grubMenu struct {
	reader *entryReader
	vars   map[string]string // of the environment, then of plain "set" lines
	from   int               // first own entry of the reader
	blocks []grubBlock       // open { }
	counts []int             // entries so far on each level of submenus
	where  []string          // per own entry: "1>2"
	open   *bootEntry
	blscfg bool
	preset string
	titles []string // per own entry: "Advanced>Debian"
	ids    []string
}

// grubBlock is an open menuentry, submenu, or anything else in braces.
type grubBlock struct {
	kind, title, id, place string
}

func (g *grubMenu) script(text string) {
	g.counts = []int{0}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		words := grubWords(line)
		if len(words) > 0 {
			g.line(words)
		}
	}
}

func (g *grubMenu) line(words []string) {
	opens := words[len(words)-1] == "{"
	switch w := words[0]; {
	case (w == "menuentry" || w == "submenu") && opens && len(words) > 2:
		g.begin(w, words)
		return
	case opens:
		g.blocks = append(g.blocks, grubBlock{kind: "other"})
		return
	case w == "}":
		g.end()
		return
	case w == "set" && len(words) == 2:
		g.set(words[1])
	case w == "blscfg":
		g.blscfg = true
	case g.open == nil || len(words) < 2:
	case w == "linux" || w == "linux16" || w == "linuxefi":
		g.open.kernel, g.open.args = g.reader.onDisk(words[1]), strings.Join(words[2:], " ")
	case w == "initrd" || w == "initrd16" || w == "initrdefi":
		for _, f := range words[1:] {
			g.open.initrds = append(g.open.initrds, g.reader.onDisk(f))
		}
	case w == "module" || w == "module2":
		g.module(words[1:])
	}
}

// module is a kernel or an initramfs that the Xen hypervisor starts.
func (g *grubMenu) module(words []string) {
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
	case imageName.MatchString(path.Base(words[0])):
		g.open.kernel, g.open.args = g.reader.onDisk(words[0]), strings.Join(words[1:], " ")
	default:
		g.open.initrds = append(g.open.initrds, g.reader.onDisk(words[0]))
	}
}

// set remembers what decides the default. Inside a condition the last one that
// is no variable's copy counts: GRUB's own scripts set next_entry, then the rest.
func (g *grubMenu) set(assignment string) {
	name, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return
	}
	if name == "default" {
		if value != "${next_entry}" {
			g.preset = value
		}
		return
	}
	if _, saved := g.vars[name]; !saved && len(g.blocks) == 0 {
		g.vars[name] = value
	}
}

func (g *grubMenu) begin(kind string, words []string) {
	b := grubBlock{kind: kind, title: words[1]}
	for i, w := range words {
		if (w == "--id" || w == "$menuentry_id_option") && i+1 < len(words) {
			b.id = words[i+1]
		}
	}
	level := len(g.counts) - 1
	b.place = itoa(g.counts[level])
	g.counts[level]++
	g.blocks = append(g.blocks, b)
	if kind == "submenu" {
		g.counts = append(g.counts, 0)
		return
	}
	g.open = &bootEntry{title: b.title, id: b.id}
}

func (g *grubMenu) end() {
	if len(g.blocks) == 0 {
		return
	}
	b := g.blocks[len(g.blocks)-1]
	switch {
	case b.kind == "submenu":
		g.counts = g.counts[:len(g.counts)-1]
	case b.kind == "menuentry" && g.open != nil:
		if g.open.kernel != "" {
			g.reader.add(*g.open)
			g.where = append(g.where, g.chain(func(b grubBlock) string { return b.place }))
			g.titles = append(g.titles, g.chain(func(b grubBlock) string { return b.title }))
			g.ids = append(g.ids, g.chain(func(b grubBlock) string { return b.id }))
		}
		g.open = nil
	}
	g.blocks = g.blocks[:len(g.blocks)-1]
}

// chain joins a property of the open submenus and the entry: "1>0".
func (g *grubMenu) chain(of func(grubBlock) string) string {
	var parts []string
	for _, b := range g.blocks {
		if b.kind != "other" {
			parts = append(parts, of(b))
		}
	}
	return strings.Join(parts, ">")
}

// markDefault finds the entry that GRUB starts by itself; one that names a
// submenu alone, or nothing that exists, is the first entry.
func (g *grubMenu) markDefault() {
	want := g.preset
	if want == "${saved_entry}" || want == "saved" {
		want = g.vars["saved_entry"]
	}
	if name, ok := strings.CutPrefix(want, "$"); ok {
		want = g.vars[strings.Trim(name, "{}")]
	}
	if want == "" {
		want = "0"
	}
	own := g.reader.entries[g.from:]
	for i := range own {
		if g.where[i] == want || g.titles[i] == want || g.ids[i] == want || own[i].title == want || own[i].id == want && want != "" {
			own[i].isDefault = true
			return
		}
	}
	for i := range own {
		if strings.HasPrefix(g.where[i], want+">") {
			own[i].isDefault = true
			return
		}
	}
	if len(own) > 0 {
		own[0].isDefault = true
	}
}

// grubWords splits a line of GRUB's script into words, quotes undone.
func grubWords(line string) []string {
	var words []string
	var b strings.Builder
	inWord, quote := false, byte(0)
	flush := func() {
		if inWord {
			words = append(words, b.String())
		}
		b.Reset()
		inWord = false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == ';' || c == '\r'):
			flush()
		case quote == 0 && c == '#' && !inWord:
			return words
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
			inWord = true
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	flush()
	return words
}

// grubEnv reads GRUB's environment block: name=value lines, then '#' as filling.
func grubEnv(text string) map[string]string {
	vars := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			vars[name] = strings.ReplaceAll(value, `\\`, `\`)
		}
	}
	return vars
}
