package ext

import "context"

func (v *volume) recover(ctx context.Context) error { return nil }
