# Each of FILES through COMPILER with FLAGS, no code made: says which do not compile, and why. tests/lint/run calls it.
#
# What compiled is not compiled again until it, a header of its, a flag or the compiler is another one: DIR has a stamp of each, and which headers it has.
# A header stands alone in a file that includes it.
SHELL := /bin/bash
.SUFFIXES:

STAMPS := $(FILES:%=$(DIR)/%.ok)
all: $(STAMPS)

$(DIR)/flags: FORCE
	@mkdir -p $(@D); { $(COMPILER) --version; printf '%s\n' '$(subst ','\'',$(FLAGS))'; } >$@.new; if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
FORCE:

$(DIR)/%.h.c:
	@mkdir -p $(@D)
	@echo '#include "$*.h"' >$@
.PRECIOUS: $(DIR)/%.h.c

compile = @mkdir -p $(@D); if output=$$($(COMPILER) $(FLAGS) -fsyntax-only -MMD -MP -MT $@ -MF $(@:.ok=.d) $(1) 2>&1); then touch $@; \
    else rm -f $@; printf '%s: does not compile with %s\n%s\n' '$*' '$(COMPILER)' "$$output"; fi
$(DIR)/%.h.ok: %.h $(DIR)/%.h.c $(DIR)/flags
	$(call compile,$(DIR)/$*.h.c)
$(DIR)/%.ok: % $(DIR)/flags
	$(call compile,$<)

-include $(STAMPS:.ok=.d)
