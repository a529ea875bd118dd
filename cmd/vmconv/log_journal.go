package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/journal"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	journalFolder = "/var/log/journal"
	maxJournals   = 10000
)

// journals are the open journal files of a guest.
type journals struct {
	files []*journal.File
	torn  int // entries that could not be read
}

// merged lists all entries in the order of time.
func (j *journals) merged(backward bool) iter.Seq2[journal.Entry, error] {
	j.torn = 0
	return journal.Merge(j.files, journal.MergeOptions{Backward: backward, Torn: func(*journal.File, error) { j.torn++ }})
}

// openJournals opens what is in the folder of each machine ID. A file that is
// damaged or unknown is told; only when no other is left that is an error.
func (a *app) openJournals(tree *guest.Tree) (*journals, error) {
	names, err := journalNames(tree)
	if err != nil {
		return nil, err
	}
	var out journals
	var last error
	for _, name := range names {
		dev, err := tree.Open(name)
		var f *journal.File
		if err == nil {
			f, err = journal.Open(dev, ondisk.Limits{})
		}
		if err != nil {
			last = fmt.Errorf("%s: %w", name, err)
			a.ui.warn(name, "journal", err.Error())
			continue
		}
		if f.Broken() != nil {
			a.ui.warn(name, "journal", fmt.Sprintf("damaged, what can be found is shown: %v", f.Broken()))
		}
		out.files = append(out.files, f)
	}
	if len(out.files) == 0 {
		return &out, last
	}
	return &out, nil
}

func journalNames(tree *guest.Tree) ([]string, error) {
	list, err := listFolder(tree, journalFolder)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range list {
		if _, err := hex.DecodeString(d.Name); err != nil || len(d.Name) != 32 {
			continue
		}
		dir := path.Join(journalFolder, d.Name)
		files, err := listFolder(tree, dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if strings.HasSuffix(strings.TrimSuffix(f.Name, "~"), ".journal") && guest.IsFile(tree, path.Join(dir, f.Name)) {
				out = append(out, path.Join(dir, f.Name))
			}
		}
		if len(out) > maxJournals {
			return nil, ondisk.Because(ondisk.ErrTooBig, "more than %d journal files", maxJournals)
		}
	}
	return out, nil
}

// listFolder lists a folder that may be missing.
func listFolder(tree *guest.Tree, dir string) ([]filesys.Dirent, error) {
	list, err := tree.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, filesys.ErrNotDir) {
		return nil, nil
	}
	return list, err
}

// bootSpan is what is known of one boot.
type bootSpan struct {
	id          journal.ID
	first, last journal.Entry
}

// boots lists the boots in the order of their first entries.
func (j *journals) boots(ctx context.Context) ([]bootSpan, error) {
	var out []bootSpan
	place := map[journal.ID]int{}
	for e, err := range j.merged(false) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		i, ok := place[e.Boot]
		if !ok {
			i = len(out)
			place[e.Boot] = i
			out = append(out, bootSpan{id: e.Boot, first: e})
		}
		out[i].last = e
	}
	return out, nil
}

func (j *journals) listBoots(ctx context.Context, out io.Writer) error {
	boots, err := j.boots(ctx)
	for i, b := range boots {
		fmt.Fprintf(out, "%3d %v %s %s\n", i-len(boots)+1, b.id, b.first.Time().Format(isoTime), b.last.Time().Format(isoTime))
	}
	return err
}

// boot is the ID of the boot that -b means.
func (j *journals) boot(ctx context.Context, s string) (id journal.ID, err error) {
	if p, err := hex.DecodeString(strings.ReplaceAll(s, "-", "")); err == nil && len(p) == len(id) {
		return journal.ID(p), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return id, usagef("-b takes a number or the ID of a boot, not %q", s)
	}
	boots, err := j.boots(ctx)
	if err != nil {
		return id, err
	}
	i := n - 1
	if n <= 0 {
		i = len(boots) - 1 + n
	}
	if i < 0 || i >= len(boots) {
		return id, ondisk.Because(fs.ErrNotExist, "no boot %d: the journal holds %d", n, len(boots))
	}
	return boots[i].id, nil
}

// print prints what the query chooses.
func (j *journals) print(ctx context.Context, f *logFlags, q logQuery, out io.Writer) error {
	p := logPrinter{out: out, format: f.output}
	boot := journal.ID{}
	if f.boot != "" {
		var err error
		if boot, err = j.boot(ctx, f.boot); err != nil {
			return err
		}
	}
	var newest []journal.Entry // with -n
	for e, err := range j.merged(f.lines >= 0) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if f.lines >= 0 && len(newest) == f.lines {
			break
		}
		if f.boot != "" && e.Boot != boot || !q.inTime(e.Time()) || !q.matches(e) {
			continue
		}
		if f.lines >= 0 {
			newest = append(newest, e)
			continue
		}
		if err := p.entry(e); err != nil {
			return err
		}
	}
	slices.Reverse(newest)
	for _, e := range newest {
		if err := p.entry(e); err != nil {
			return err
		}
	}
	return nil
}

// matches looks at the fields of an entry. One that is torn counts with what it has.
func (q *logQuery) matches(e journal.Entry) bool {
	if q.anyLevel && len(q.units) == 0 {
		return true
	}
	fields, _ := e.Fields()
	if !q.anyLevel {
		level, err := strconv.Atoi(string(value(fields, "PRIORITY")))
		if err != nil || level < q.levels[0] || level > q.levels[1] {
			return false
		}
	}
	return len(q.units) == 0 || q.aboutUnit(fields)
}

// messageCoredump is the MESSAGE_ID of a crash that systemd-coredump recorded.
const messageCoredump = "fc2e22bc6ee647b6b90729ab34a250b1"

// aboutUnit finds what a unit wrote, and what root's own services wrote about it,
// as journalctl -u does.
func (q *logQuery) aboutUnit(fields []journal.Field) bool {
	is := func(name, want string) bool { return string(value(fields, name)) == want }
	return q.isUnit(string(value(fields, "_SYSTEMD_UNIT"))) ||
		is("_PID", "1") && q.isUnit(string(value(fields, "UNIT"))) ||
		is("_UID", "0") && q.isUnit(string(value(fields, "OBJECT_SYSTEMD_UNIT"))) ||
		is("_UID", "0") && is("MESSAGE_ID", messageCoredump) && q.isUnit(string(value(fields, "COREDUMP_UNIT"))) ||
		bytes.HasSuffix(value(fields, "_SYSTEMD_SLICE"), []byte(".slice")) && q.isSlice(string(value(fields, "_SYSTEMD_SLICE")))
}

// isSlice: only who asks for a slice by name gets all that runs in it.
func (q *logQuery) isSlice(name string) bool {
	return slices.ContainsFunc(q.units, func(u string) bool { return strings.HasSuffix(u, ".slice") }) && q.isUnit(name)
}

// value is the first value of a field, or nil.
func value(fields []journal.Field, name string) []byte {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}
