package main

import (
	"context"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// checkedFilesystem is one filesystem of check --filesystems --json.
type checkedFilesystem struct {
	Source    string         `json:"source"`
	Volume    string         `json:"volume"`
	Type      string         `json:"type"`
	Checked   bool           `json:"checked"` // false: it cannot be opened, and Notices say why
	Log       string         `json:"log,omitempty"`
	Files     int64          `json:"files,omitempty"`
	Folders   int64          `json:"folders,omitempty"`
	Unread    int64          `json:"unread,omitempty"` // objects that no reader here understands
	Problems  []faultLine    `json:"problems,omitempty"`
	Corrupt   int64          `json:"corrupt"`
	Notices   []string       `json:"notices,omitempty"`
	Uncounted string         `json:"uncounted,omitempty"` // why free space was not compared
	Fsck      *foreignResult `json:"fsck,omitempty"`
}

// faultLine is one fault.
type faultLine struct {
	Path  string `json:"path,omitempty"` // inside the filesystem; see jsonName
	Error string `json:"error"`
}

// checkGuests checks the filesystems of machines, and answers with the worst finding.
func (a *app) checkGuests(ctx context.Context, f *imageFlags, args []string, foreign, asJSON bool) error {
	found := []checkedFilesystem{}
	for _, path := range args {
		list, err := a.checkGuest(ctx, f, path, foreign)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	var corrupt int64
	foul := false
	for _, c := range found {
		if !asJSON {
			renderFilesystem(a.stdout, c)
		}
		corrupt += c.Corrupt
		foul = foul || c.Fsck != nil && !c.Fsck.Clean
	}
	if asJSON {
		err := a.printJSON(struct {
			Schema      string              `json:"schema"`
			Filesystems []checkedFilesystem `json:"filesystems"`
		}{"vmconv.check-filesystems/1", found})
		if err != nil {
			return err
		}
	}
	switch {
	case corrupt > 0:
		return ondisk.Because(ondisk.ErrCorrupt, "%d errors were found; the guest's own fsck repairs them", corrupt)
	case foul:
		return errNo
	}
	return nil
}

// checkGuest checks the filesystems of a machine.
func (a *app) checkGuest(ctx context.Context, f *imageFlags, path string, foreign bool) ([]checkedFilesystem, error) {
	m, err := a.openVolumes(ctx, f, []string{path})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var out []checkedFilesystem
	for _, fs := range m.Facts.Filesystems {
		v, _ := m.Volume(fs.Volume)
		if fs.Type == "swap" || v.Claimed != "" && v.Locked == nil {
			continue
		}
		c := checkedFilesystem{Source: path, Volume: fs.Volume, Type: fs.Type}
		if err := a.checkFilesystem(ctx, m, &c, foreign); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, fs.Volume, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ondisk.Because(ondisk.ErrFormat, "there is no filesystem on it"))
	}
	return out, nil
}

func (a *app) checkFilesystem(ctx context.Context, m *guestSession, c *checkedFilesystem, foreign bool) error {
	v, err := m.Filesystem(c.Volume)
	switch code := exitCode(err); {
	case err == nil:
	case code == exitUnsupported || code == exitKey:
		c.Notices = append(c.Notices, err.Error())
		return nil
	case code == exitCorrupt:
		c.Checked, c.Corrupt, c.Problems = true, 1, []faultLine{{Error: err.Error()}}
		return nil
	default:
		return err
	}
	info := v.Info()
	if c.Log = "clean"; info.Replayed {
		c.Log = "replayed in memory: it was not unmounted"
	}
	c.Notices = info.Notices
	r, err := filesys.Check(ctx, v)
	if err != nil {
		return err
	}
	c.Checked, c.Files, c.Folders, c.Unread, c.Uncounted = true, r.Files, r.Folders, r.Unread, r.Uncounted
	c.Corrupt = int64(len(r.Problems)) + r.More
	for _, p := range r.Problems {
		c.Problems = append(c.Problems, faultLine{jsonName(p.Path), p.Err.Error()})
	}
	if foreign {
		c.Fsck, err = a.fsck(ctx, m, c)
	}
	return err
}

func renderFilesystem(w io.Writer, c checkedFilesystem) {
	name := c.Source + ": " + printable(c.Volume)
	for _, p := range c.Problems {
		if p.Path != "" {
			p.Path += ": "
		}
		fmt.Fprintf(w, "%s: error: %s\n", name, printable(p.Path+p.Error))
	}
	for _, text := range c.Notices {
		fmt.Fprintf(w, "%s: %s\n", name, printable(text))
	}
	if c.Uncounted != "" {
		fmt.Fprintf(w, "%s: free space was not compared: %s\n", name, printable(c.Uncounted))
	}
	if c.Unread > 0 {
		fmt.Fprintf(w, "%s: %d files were not read: their kind is not known here\n", name, c.Unread)
	}
	switch {
	case !c.Checked:
		fmt.Fprintf(w, "%s: %s was not checked\n", name, c.Type)
	case c.Corrupt > 0:
		fmt.Fprintf(w, "%s: %s, %d errors\n", name, c.Type, c.Corrupt)
	default:
		fmt.Fprintf(w, "%s: %s, no errors in %d files and %d folders; log %s\n", name, c.Type, c.Files, c.Folders, c.Log)
	}
	if c.Fsck != nil {
		verdict := "finds no fault"
		if !c.Fsck.Clean {
			verdict = "finds faults\n" + indent(printable(c.Fsck.Output), "    ")
		}
		fmt.Fprintf(w, "%s: %s %s\n", name, c.Fsck.Command, verdict)
	}
}
