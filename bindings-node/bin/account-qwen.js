#!/usr/bin/env node
'use strict';

void require('../dist/program.js').runProgram('account-qwen');
