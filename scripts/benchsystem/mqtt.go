package main

import "context"

func (b *bench) mqtt(context.Context) error { return nil }
