package guest

import (
	"path"
	"slices"
	"strings"
)

// bootEntry is one thing that a boot loader can start, paths in the tree.
type bootEntry struct {
	title     string
	id        string
	kernel    string
	initrds   []string
	args      string
	isDefault bool
}

// entryReader reads the boot entries of one loader's configuration.
type entryReader struct {
	view    View
	limit   int64
	base    string // where the filesystem is that the entries lie on, when it is not / or /boot
	entries []bootEntry

	warnings []string
}

// onDisk turns a path as a loader says it into one of the tree: the loader counts
// from the top of the filesystem that holds it, which may be /boot.
func (r *entryReader) onDisk(p string) string {
	if strings.HasPrefix(p, "(") {
		_, p, _ = strings.Cut(p, ")")
	}
	if strings.HasPrefix(p, "$") {
		i := strings.IndexByte(p, '/')
		p = p[max(i, 0):]
	}
	p = path.Clean("/" + p)
	for _, base := range []string{r.base, "", "/boot"} {
		if IsFile(r.view, base+p) {
			return base + p
		}
	}
	return p
}

func (r *entryReader) text(p string) string {
	text, err := ReadFile(r.view, p, r.limit)
	if err != nil {
		return ""
	}
	return string(text)
}

// add records an entry that starts a kernel.
func (r *entryReader) add(e bootEntry) {
	if e.kernel != "" {
		r.entries = append(r.entries, e)
	}
}

// choose marks the default: the entry of that title or id, else of that index.
func (r *entryReader) choose(from int, name string, index int) {
	own := r.entries[from:]
	i := -1
	if name != "" {
		i = slices.IndexFunc(own, func(e bootEntry) bool {
			fits, err := path.Match(name, e.id) // as loader.conf(5) has it
			return e.title == name || e.id == name || fits && err == nil
		})
	}
	if i < 0 {
		i = index
	}
	if i >= 0 && i < len(own) {
		own[i].isDefault = true
	}
}

// legacy reads menu.lst of GRUB 0.97, which pygrub reads too.
func (r *entryReader) legacy(p string) {
	index, at := 0, -1
	var e bootEntry
	flush := func() {
		if at >= 0 {
			e.isDefault = at == index
			r.add(e)
		}
		at++
		e = bootEntry{}
	}
	for _, line := range strings.Split(r.text(p), "\n") {
		key, rest := directive(line)
		switch key {
		case "default":
			index = small(rest)
		case "title":
			flush()
			e.title = rest
		case "kernel":
			kernel, args, _ := strings.Cut(rest, " ")
			e.kernel, e.args = r.onDisk(kernel), strings.TrimSpace(args)
		case "module": // of a Xen host: the kernel, then its initramfs
			name, args, _ := strings.Cut(rest, " ")
			if imageName.MatchString(path.Base(name)) {
				e.kernel, e.args = r.onDisk(name), strings.TrimSpace(args)
			} else {
				e.initrds = append(e.initrds, r.onDisk(name))
			}
		case "initrd":
			e.initrds = append(e.initrds, r.onDisk(rest))
		}
	}
	flush()
}

// directive is a word and the rest of a line, for files of the form "key value"
// or "key=value"; the word in lower case.
func directive(line string) (key, rest string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return strings.ToLower(line), ""
	}
	return strings.ToLower(line[:i]), strings.TrimSpace(strings.TrimLeft(line[i:], " \t="))
}

// extlinux reads the configuration of the syslinux family and of U-Boot.
func (r *entryReader) extlinux(p string) {
	from, name := len(r.entries), ""
	var e bootEntry
	dir := path.Dir(p)
	inDir := func(f string) string {
		if strings.HasPrefix(f, "/") {
			return r.onDisk(f)
		}
		return path.Join(dir, f)
	}
	for _, line := range strings.Split(r.text(p), "\n") {
		key, rest := directive(line)
		switch key {
		case "default":
			name = rest
		case "label":
			r.add(e)
			e = bootEntry{title: rest, id: rest}
		case "menu":
			if label, ok := strings.CutPrefix(strings.ToLower(rest), "label "); ok && e.kernel == "" {
				e.title = strings.TrimSpace(rest[len(rest)-len(label):])
			}
		case "kernel", "linux":
			e.kernel = inDir(rest)
		case "append":
			e.args = rest
			for _, arg := range strings.Fields(rest) {
				if v, ok := strings.CutPrefix(arg, "initrd="); ok {
					e.initrds = append(e.initrds, inDir(v))
				}
			}
		case "initrd":
			for _, f := range strings.Split(rest, ",") {
				e.initrds = append(e.initrds, inDir(f))
			}
		}
	}
	r.add(e)
	r.choose(from, name, 0)
}

// loaderEntries reads the entries of the Boot Loader Specification (type 1) in
// dir, newest first as boot loaders show them; saved is the default's name or
// number, vars the variables of the loader's environment.
func (r *entryReader) loaderEntries(dir, saved string, vars map[string]string) {
	list, err := r.view.ReadDir(dir)
	if err != nil {
		return
	}
	slices.Reverse(list)
	r.base = strings.TrimSuffix(dir, "/loader/entries")
	defer func() { r.base = "" }()
	from := len(r.entries)
	for _, d := range list {
		name, ok := strings.CutSuffix(d.Name, ".conf")
		if !ok {
			continue
		}
		e := bootEntry{title: name, id: name}
		for _, line := range strings.Split(r.text(join(dir, d.Name)), "\n") {
			switch key, rest := directive(line); key {
			case "title":
				e.title = rest
			case "linux":
				e.kernel = r.onDisk(rest)
			case "initrd":
				for _, f := range strings.Fields(rest) {
					if !strings.HasPrefix(f, "$") {
						e.initrds = append(e.initrds, r.onDisk(f))
					}
				}
			case "options":
				e.args = strings.TrimSpace(e.args + " " + expand(rest, vars))
			}
		}
		r.add(e)
	}
	own := r.entries[from:]
	slices.SortStableFunc(own, func(a, b bootEntry) int { return -compareVersions(a.id, b.id) })
	r.choose(from, strings.TrimSuffix(saved, ".conf"), small(saved))
}

// expand replaces whole words that are variables: "$kernelopts".
func expand(s string, vars map[string]string) string {
	words := strings.Fields(s)
	for i, w := range words {
		if name, ok := strings.CutPrefix(w, "$"); ok {
			words[i] = vars[strings.Trim(name, "{}")]
		}
	}
	return strings.TrimSpace(strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " "))
}
