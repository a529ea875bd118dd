package bootcheck

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// Row is one link of the chain.
type Row struct {
	ID       string `json:"id"`   // "initramfs:6.1.0-18-amd64"; stable
	Text     string `json:"text"` // what is claimed
	Pass     bool   `json:"pass"`
	Required bool   `json:"required"`
	Evidence string `json:"evidence"` // the file that shows it, or what is wrong
}

// Check looks at a guest as it will be: the view and the facts are those after
// all changes. Rows are in the order of a start. The error is of ctx; trouble
// with the guest's files is a row.
func Check(ctx context.Context, view guest.View, job edit.Job) ([]Row, error) {
	c := &checker{job: job, view: view, facts: job.Facts, needs: job.Needs, limits: job.Limits.OrDefault()}
	c.loader()
	c.grub()
	for _, k := range c.facts.Kernels {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.kernel(k, k.Version == c.first())
	}
	if len(c.facts.Kernels) == 0 {
		c.add("kernel", "a kernel is installed", false, true, "none was found")
	}
	c.lvm()
	c.mounts()
	return c.rows, nil
}

// Failed are the required rows that do not pass.
func Failed(rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		if r.Required && !r.Pass {
			out = append(out, r)
		}
	}
	return out
}

func (c *checker) add(id, text string, pass, required bool, format string, args ...any) {
	c.rows = append(c.rows, Row{ID: id, Text: text, Pass: pass, Required: required, Evidence: fmt.Sprintf(format, args...)})
}

// first is the version of the kernel that starts when nobody chooses: the
// default, or the only one that is told.
func (c *checker) first() string {
	for _, k := range c.facts.Kernels {
		if k.Default {
			return k.Version
		}
	}
	for _, k := range c.facts.Kernels {
		if !k.XenOnly {
			return k.Version
		}
	}
	return ""
}
