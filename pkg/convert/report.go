package convert

import (
	"github.com/vmconv/vmconv/pkg/fsedit/bootcheck"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
)

// Report is what a conversion did, as convert --json prints it.
type Report struct {
	Schema   string          `json:"schema"`
	Source   []string        `json:"source"`
	System   string          `json:"system,omitempty"`
	Targets  []string        `json:"targets,omitempty"`
	DryRun   bool            `json:"dry_run,omitempty"`
	InPlace  bool            `json:"in_place,omitempty"`
	Outputs  []string        `json:"outputs,omitempty"`
	Changes  []ChangeReport  `json:"changes,omitempty"`
	Checks   []bootcheck.Row `json:"checks,omitempty"`
	Warnings []edit.Warning  `json:"warnings,omitempty"`
	Dropped  int64           `json:"dropped_bytes"`          // free blocks that were not copied
	Moved    int64           `json:"moved_bytes,omitempty"`  // in packed blocks that were written as they are
	Shared   int64           `json:"shared_bytes,omitempty"` // in blocks that the output shares with the source
}

// ChangeReport is one changed path of the guest.
type ChangeReport struct {
	Path    string        `json:"path"`
	Kind    edit.Kind     `json:"kind"`
	Reasons []edit.Reason `json:"reasons"`
	Label   string        `json:"label,omitempty"` // SELinux label of an added object
	Diff    string        `json:"diff,omitempty"`
}

// Report describes the conversion; outputs are added by who wrote them.
func (p *Prepared) Report() Report {
	r := Report{
		Schema: "vmconv.convert/1", Checks: p.Checks, Warnings: p.Notes,
		Dropped: p.Dropped, Moved: p.Saved.Moved, Shared: p.Saved.Shared, InPlace: p.Request.InPlace,
	}
	for _, d := range p.Request.Disks {
		r.Source = append(r.Source, d.Name)
	}
	for _, t := range p.Request.Targets {
		r.Targets = append(r.Targets, t.Name)
	}
	if p.Before != nil {
		r.System = p.Before.OS.Name
	}
	for _, c := range p.Changes {
		r.Changes = append(r.Changes, ChangeReport{Path: c.Path, Kind: c.Kind, Reasons: c.Reasons, Label: c.Label, Diff: c.Diff})
	}
	return r
}
