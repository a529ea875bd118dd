package grubcfg

import (
	"bytes"
	"iter"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Config is a script that was parsed. It does not change: edits return bytes.
type Config struct {
	src      []byte
	commands []*Command
	menu     []*Entry
}

// Command is a command with its words, the first of which is its name.
type Command struct {
	Words []Word
	Entry *Entry // the entry that it belongs to, or nil
}

// Name is the command's name.
func (c *Command) Name() string { return c.Words[0].Text }

// Args are the words behind the name.
func (c *Command) Args() []Word { return c.Words[1:] }

// Entry is an entry of the menu, or a submenu.
type Entry struct {
	Title      string
	ID         string // empty without one
	Submenu    bool
	Parent     *Entry
	Entries    []*Entry   // of a submenu
	Commands   []*Command // directly in it
	Start, End int        // bytes from the command's name to the closing brace
}

// Parse reads a script. Any text is accepted but an open quote and an
// unreasonable depth of blocks.
func Parse(src []byte, limits ondisk.Limits) (*Config, error) {
	limits = limits.OrDefault()
	if int64(len(src)) > limits.Text {
		return nil, ondisk.At("grub", "script", ondisk.NoOffset).TooBig("%d bytes", len(src))
	}
	p := parser{cfg: &Config{src: bytes.Clone(src)}, depth: limits.Chain}
	l := lexer{src: p.cfg.src}
	for {
		t, ok, err := l.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			p.flush()
			p.close(len(src), len(p.blocks))
			return p.cfg, nil
		}
		if err := p.token(t); err != nil {
			return nil, err
		}
	}
}

// parser collects words to commands and blocks to entries.
type parser struct {
	cfg    *Config
	words  []Word
	blocks []*Entry // open ones; nil for a block that is no entry
	depth  int
}

func (p *parser) token(t token) error {
	switch t.kind {
	case wordToken:
		p.words = append(p.words, t.word)
	case endToken:
		p.flush()
	case openToken:
		if len(p.blocks) == p.depth {
			return ondisk.At("grub", "script", ondisk.NoOffset).TooBig("more than %d blocks in each other", p.depth)
		}
		p.blocks = append(p.blocks, p.open())
	case closeToken:
		p.flush()
		p.close(t.word.End, 1)
	}
	return nil
}

// reserved words stand before a command in the same statement.
var reserved = []string{"if", "elif", "then", "else", "while", "until", "do", "!"}

func (p *parser) flush() {
	words := p.words
	p.words = nil
	for len(words) > 0 && slices.Contains(reserved, words[0].Raw) {
		words = words[1:]
	}
	if len(words) == 0 {
		return
	}
	c := &Command{Words: words, Entry: p.current()}
	p.cfg.commands = append(p.cfg.commands, c)
	if c.Entry != nil {
		c.Entry.Commands = append(c.Entry.Commands, c)
	}
}

// current is the innermost open entry.
func (p *parser) current() *Entry {
	for _, e := range slices.Backward(p.blocks) {
		if e != nil {
			return e
		}
	}
	return nil
}

// open makes the words before a brace an entry, if they are one's.
func (p *parser) open() *Entry {
	words := p.words
	if len(words) == 0 || words[0].Raw != "menuentry" && words[0].Raw != "submenu" {
		p.flush()
		return nil
	}
	p.words = nil
	e := &Entry{Submenu: words[0].Raw == "submenu", Parent: p.current(), Start: words[0].Start}
	e.head(words[1:])
	if e.Parent != nil {
		e.Parent.Entries = append(e.Parent.Entries, e)
	} else {
		p.cfg.menu = append(p.cfg.menu, e)
	}
	return e
}

// close ends n blocks at a place.
func (p *parser) close(end, n int) {
	for ; n > 0 && len(p.blocks) > 0; n-- {
		if e := p.blocks[len(p.blocks)-1]; e != nil {
			e.End = end
		}
		p.blocks = p.blocks[:len(p.blocks)-1]
	}
}

// valued are the options of menuentry that take the next word.
var valued = []string{"--class", "--users", "--hotkey", "--source"}

func (e *Entry) head(words []Word) {
	titled := false
	for i := 0; i < len(words); i++ {
		w := words[i]
		hasNext := i+1 < len(words)
		switch {
		case (w.Text == "--id" || w.Raw == "$menuentry_id_option" || w.Raw == "${menuentry_id_option}") && hasNext:
			i++
			e.ID = words[i].Text
		case len(w.Text) > 5 && w.Text[:5] == "--id=":
			e.ID = w.Text[5:]
		case slices.Contains(valued, w.Text):
			i++
		case len(w.Raw) > 2 && w.Raw[:2] == "--":
		case !titled:
			e.Title, titled = w.Text, true
		}
	}
}

// Bytes are those that were parsed.
func (c *Config) Bytes() []byte { return bytes.Clone(c.src) }

// Menu is the top level of the menu.
func (c *Config) Menu() []*Entry { return c.menu }

// Entries are all entries, submenus before what is in them.
func (c *Config) Entries() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) { walk(c.menu, yield) }
}

func walk(list []*Entry, yield func(*Entry) bool) bool {
	for _, e := range list {
		if !yield(e) || !walk(e.Entries, yield) {
			return false
		}
	}
	return true
}

// Commands are all commands of the given names, in the order of the file; all
// commands without names.
func (c *Config) Commands(names ...string) iter.Seq[*Command] {
	return func(yield func(*Command) bool) {
		for _, cmd := range c.commands {
			if (len(names) == 0 || slices.Contains(names, cmd.Name())) && !yield(cmd) {
				return
			}
		}
	}
}

// linuxCommands and initrdCommands load a Linux kernel and its initramfs.
var (
	linuxCommands  = []string{"linux", "linux16", "linuxefi"}
	initrdCommands = []string{"initrd", "initrd16", "initrdefi"}
)

// Linux is the first command of the entry that loads a kernel, or nil. Its
// first argument is the kernel's path.
func (e *Entry) Linux() *Command {
	for _, c := range e.Commands {
		if slices.Contains(linuxCommands, c.Name()) && len(c.Words) > 1 {
			return c
		}
	}
	return nil
}

// Initrds are the paths of all initramfs files of the entry, in order.
func (e *Entry) Initrds() (paths []string) {
	for _, c := range e.Commands {
		if slices.Contains(initrdCommands, c.Name()) {
			for _, w := range c.Args() {
				paths = append(paths, w.Text)
			}
		}
	}
	return paths
}

// Path is the way through the menu: titles of submenus and of the entry.
func (e *Entry) Path() []string {
	if e.Parent == nil {
		return []string{e.Title}
	}
	return append(e.Parent.Path(), e.Title)
}
