# SPDX-License-Identifier: Apache-2.0
.PHONY: proof
proof: ## Prove with CBMC what must hold for every input (bounded; each proof has a twin that must fail)
	@tools/setup build test
	@$(PYTHON) tools/proof.py $(NAME)
